import numpy as np
import pandas as pd
import pytest

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.answers import ALIKE, PROXY, RANDOM
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from tests.report.statistics.studies import study


def answers(frame, **options):
    found = Findings(reading.check(frame)[0], AnalysisOptions(**{"replicates": 1000} | options))
    return {each.question: each for each in found.answers}


def big(**options):
    return study(
        **{"draws": 12, "searches": 1, "random_cells": 30, "deviations": (0.03, 0.1, 0.05)} | options
    )


def test_equivalent_proxies_are_recognised():
    found = answers(big(), margin=Margin(0.5, "%"))[PROXY]
    assert found.verdict == "mean: no; ranking: no"
    assert "equivalent within 0.5%" in found.sentence


def test_different_proxies_are_recognised():
    proxies = {("s", "good"): 1.5, ("s", "bad"): 0.0}
    found = answers(big(proxies=proxies))[PROXY]
    assert found.verdict.startswith("mean: yes")
    assert "+1.49 points, of s / good against s / bad" in found.sentence


def test_a_ranking_that_changes_is_recognised():
    frame = big(strategies={"darts": 0.6, "enas": 0.0, "nsga2": -0.6})
    last = frame["proxy"] == "all"
    swapped = {"darts": "nsga2", "nsga2": "darts", "enas": "enas"}
    frame.loc[last, "strategy"] = frame.loc[last, "strategy"].map(swapped)
    frame["strategy_options"] = ""
    found = answers(frame)[PROXY]
    assert found.verdict.endswith("ranking: yes")
    assert "significant swaps, such as darts above" in found.sentence


def test_alike_on_the_source_and_different_on_the_target():
    frame = big(proxies={("s", "p"): 0.0})
    frame["source_top1"] = 95 + 0.01 * np.random.default_rng(0).normal(size=len(frame))
    found = answers(frame, margin=Margin(0.5, "%"))[ALIKE]
    assert found.verdict == "yes"
    assert found.sentence.startswith("Of 10 pairs of strategies alike on the source")
    assert "evolution over enas" in found.sentence
    assert answers(frame.drop(columns="source_top1"))[ALIKE].verdict == "not asked"


def test_alike_on_the_source_and_as_alike_on_the_target():
    frame = big(proxies={("s", "p"): 0.0}, strategies={"darts": 0.1, "enas": 0.12}, draws=30, seed=1)
    frame["source_top1"] = 95 + 0.01 * np.random.default_rng(0).normal(size=len(frame))
    found = answers(frame, margin=Margin(0.5, "%"))[ALIKE]
    assert found.verdict == "no"
    assert found.sentence.startswith("The 1 pair of strategies alike on the source (within 0.5%) is as alike")


def test_two_strategies_whose_difference_no_proxy_changes():
    frame = big(strategies={"darts": 0.1, "enas": 0.12}, draws=30, seed=1)
    found = answers(frame, margin=Margin(0.5, "%"))[PROXY]
    assert found.verdict == "mean: no; ranking: no"
    assert "the differences between strategies are the same on all proxies within 0.5%" in found.sentence


def test_what_beats_random_is_named_with_its_numbers():
    frame = big(proxies={("s", "p"): 0.0})
    found = answers(frame)[RANDOM]
    assert found.verdict == "partly"
    assert "largest improvement is that of evolution on s / p: +0." in found.sentence
    assert answers(big(strategies={"evolution": 0.8, "nsga2": 0.9}))[RANDOM].verdict == "no"
    assert answers(big(strategies={"enas": -0.8}))[RANDOM].verdict == "yes"


@pytest.mark.parametrize("question", [PROXY, ALIKE, RANDOM])
def test_few_runs_are_undecided(question):
    assert answers(study(draws=3, searches=1, random_cells=3))[question].verdict == "undecided"


def test_a_bare_table_answers_nothing():
    frame = pd.DataFrame({"target": "t", "strategy": "a", "top1": [90.0]})
    found = answers(frame)
    verdicts = {question: each.verdict for question, each in found.items()}
    assert verdicts == {PROXY: "not asked", ALIKE: "not asked", RANDOM: "undecided"}
    assert "no random cells" in found[RANDOM].sentence


def test_settings_of_sources_come_last():
    frame = big(
        targets=("cifar10", "imagenet1k"), proxies={("cifar10", "all"): 0.0}, strategies={"darts": 0.1}
    )
    settings = Findings(reading.check(frame)[0], AnalysisOptions(replicates=1000)).settings
    assert [name.partition(",")[0] for name in settings] == ["imagenet1k", "cifar10"]


def test_every_answer_is_one_sentence():
    for frame in (big(), study(), study(draws=1, random_cells=0)):
        for each in answers(frame).values():
            assert each.sentence.endswith(".")
            assert ". " not in each.sentence
