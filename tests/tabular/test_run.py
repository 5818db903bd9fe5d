import json

import numpy as np
import pandas as pd
import pytest

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.study import config, run
from nastransfer_nni.tabular import lookup
from nastransfer_nni.tabular import run as tabular
from nastransfer_nni.tabular.spaces import SPACES
from search_spaces.errors import UserError
from search_spaces.nas_bench_201 import NasBench201Genotype
from strategies import parse
from tests.tabular.conftest import networks

SPACE = SPACES["nas_bench_201"]


def findings_of(path, out):
    """The findings of a study, without its page."""
    opened = tabular.Opened.read(path)
    rows = tabular.Rows(opened.study, opened.networks)
    results = tabular.results(opened, rows, tabular.FileJournal(out))
    return Findings(results, AnalysisOptions(replicates=1000), rows.table())


def all_cells():
    """Every cell of NAS-Bench-201, the more accurate the more convolutions it has."""
    rng = np.random.default_rng(0)
    cells = [str(cell) for cell in NasBench201Genotype.all()]
    counts = np.array([cell.count("nor_conv_3x3") for cell in cells])
    return pd.DataFrame(
        {"network": cells, "cheap": 50 + 5 * counts + rng.normal(size=len(cells)), "dear": 60 + 5 * counts}
    )


def test_no_network_is_used_twice_and_each_choice_is_the_best_of_its_candidates(written):
    opened = tabular.Opened.read(written(strategies=["random:candidates=7"], random_cells=30))
    picks, _ = opened.split()
    spec = opened.study.strategies[0]
    draws = list(opened.draws(spec))
    used = np.concatenate([picks, *draws])
    assert len(picks) == 30
    assert len(draws) == (400 - 30) // 7
    assert len(set(used)) == len(used)
    cheap = opened.networks.frame["cheap"]
    chosen = opened.choices(spec, cheap, journal=None)
    assert [row for _, row in chosen] == [draw[np.argmax(cheap[draw])] for draw in draws]


def test_groups_are_drawn_from_by_turns(written):
    frame = networks().assign(kind=["a", "b"] * 200)
    opened = tabular.Opened.read(written(frame, group="kind"))
    kinds = opened.networks.frame["group"]
    picks, _ = opened.split()
    assert kinds[picks].value_counts().to_dict() == {"a": 20, "b": 20}
    draws = list(opened.draws(opened.study.strategies[0]))
    assert [set(kinds[draw]) for draw in draws[:4]] == [{"a"}, {"b"}] * 2


def test_a_planted_effect_of_one_standard_deviation_is_found(written, tmp_path):
    """The best of ten by a proxy of correlation 0.65 is one standard deviation above random networks."""
    path = written(networks(agreement=0.65), strategies=["random:candidates=10"], random_cells=60)
    row = findings_of(path, tmp_path / "log").improvement.iloc[0]
    assert row["difference"] == pytest.approx(1.0, abs=0.35)
    assert row["verdict"] is Verdict.BETTER
    blind = written(networks(agreement=0.0), strategies=["random:candidates=10"], random_cells=60)
    assert findings_of(blind, tmp_path / "log").improvement.iloc[0]["verdict"] is not Verdict.BETTER


def test_correlations_are_those_of_the_whole_table_beside_its_ceiling(written, tmp_path):
    rng = np.random.default_rng(1)
    frame = networks(agreement=0.7)
    frame = frame.assign(again=frame["dear"] + 0.5 * rng.normal(size=len(frame)))
    runs = findings_of(written(frame, targets={"dear": ["dear", "again"]}), tmp_path / "log").correlations[0]
    assert len(runs.cells) == 400
    assert runs.ceiling[0] == pytest.approx(frame["dear"].corr(frame["again"], method="kendall"))
    assert runs.ceiling[1] < runs.ceiling[0] < runs.ceiling[2]
    noisy = {"dear": {"columns": "again", "noise": 0.5}}
    stated = findings_of(written(frame, targets=noisy), tmp_path / "log").correlations[0].ceiling
    reliability = 1 - 0.25 / frame["again"].var()
    assert stated[0] == pytest.approx(2 / np.pi * np.arcsin(reliability), abs=0.04)  # of normal values
    assert np.isnan(stated[1])
    assert findings_of(written(frame), tmp_path / "log").correlations[0].ceiling is None


def test_a_size_is_a_proxy_and_no_accuracy(written, tmp_path):
    size = {"columns": "params", "score": True}
    path = written(proxies={"cheap": "cheap", "params": size}, sizes={"params": "params"})
    found = findings_of(path, tmp_path / "log")
    assert [each.source for each in found.correlations] == ["cheap"]
    assert "params" in found.correlations[0].alone
    assert set(found.improvement["source"]) == {"cheap", "params"}
    rows = found.table[found.table["source"] == "params"]
    assert rows["source_top1"].isna().all()


def test_a_proxy_is_not_judged_by_itself(written, tmp_path):
    path = written(targets={"dear": "dear", "cheap too": "cheap"}, proxies={"cheap": "cheap", "dear": "dear"})
    found = findings_of(path, tmp_path / "log").table
    pairs = set(zip(found["source"], found["target"], strict=True))
    assert pairs == {("cheap", "dear"), ("dear", "cheap too")}


def test_strategies_search_a_whole_space_and_resume(written, tmp_path, monkeypatch):
    options = {
        "space": "nas_bench_201",
        "search_seeds": 3,
        "strategies": ["evolution:candidates=12,population=4,tournament=2"],
    }
    path = written(all_cells(), **options)
    found = findings_of(path, tmp_path / "log").table
    searched = found[found["strategy"] == "evolution"]
    assert len(searched) == 3
    entries = (tmp_path / "log").read_text().splitlines()
    (tmp_path / "log").write_text("\n".join([entries[0], entries[1][:10]]))  # a kill in the second search
    asked = []
    search = lookup.search
    monkeypatch.setattr(lookup, "search", lambda *args: asked.append(args[-1]) or search(*args))
    again = findings_of(path, tmp_path / "log").table
    assert asked == [1, 2]
    pd.testing.assert_frame_equal(found, again)


def test_a_cell_that_the_table_lacks_has_failed(written):
    cells = all_cells()
    best = str(cells.loc[cells["cheap"].idxmax(), "network"])
    scores = lookup.scores_of(cells["network"], cells["cheap"])
    del scores[best]
    strategy = lookup.search(parse("random:candidates=40"), SPACE, scores, seed=0)
    assert len(strategy.history) == 40
    assert lookup.found(strategy) in scores


def test_the_study_commands_take_a_table(written, tmp_path, capsys):
    path, out = str(written(strategies=["random:candidates=9"])), str(tmp_path / "out")
    assert "400 networks" in run.plan(config.PlanConfig(file=path))
    run.print_status(config.StatusConfig(file=path, out=out))
    assert capsys.readouterr().out.endswith("waiting\n")
    root = run.run(config.RunConfig(file=path, out=out))
    report = root / "report"
    assert "a table of 400 networks" in (report / "report.md").read_text()
    origin = json.loads((report / "provenance.json").read_text())
    assert origin["table"]["networks"] == 400
    assert origin["study"]["name"] == "small"
    rows, _ = reading.read(root / "results.csv")
    assert set(rows["genotype"]) <= set(networks()["network"])
    run.print_status(config.StatusConfig(file=path, out=out))
    assert capsys.readouterr().out.endswith("completed, " + str(root / "results.csv") + "\n")
    with pytest.raises(UserError, match="--concurrency is for studies that train"):
        run.run(config.RunConfig(file=path, out=out, concurrency=2))


def test_a_table_of_someone_elses_is_not_replaced(written, tmp_path):
    own = tmp_path / "out" / tabular.RESULTS
    own.parent.mkdir()
    own.write_text("network,top1\na,90\n")
    with pytest.raises(UserError, match=r"results\.csv is not a table of results"):
        tabular.run(written(), own.parent)
    assert own.read_text() == "network,top1\na,90\n"
