"""What a report says first: the headline, short names, an answer in a sentence and a picture, a paragraph."""

import json
import re

import pandas as pd
import pytest

from nastransfer_nni.report.brief import brief
from nastransfer_nni.report.headline import headline
from nastransfer_nni.report.limitations import EARLY
from nastransfer_nni.report.names import names_of
from nastransfer_nni.report.paragraphs import paragraph
from nastransfer_nni.report.run import results_so_far
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.baseline import find_baseline
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.methods import METHODS
from nastransfer_nni.report.statistics.options import AnalysisOptions
from tests.report.pages import Page, make, make_from, read
from tests.report.statistics.studies import study
from tests.report.test_collect import write_run


def findings(frame, baseline=""):
    rows, _ = reading.check(frame)
    return Findings(rows, AnalysisOptions(replicates=1000, baseline=find_baseline(rows, baseline)))


def first(frame, baseline=""):
    found = findings(frame, baseline)
    return headline(found, found.settings[0], names_of(found))


def table(**arms):
    rows = [("t", name, value) for name, values in arms.items() for value in values]
    return pd.DataFrame(rows, columns=["target", "strategy", "top1"])


RANDOM = [90.0, 90.2, 90.4, 90.6, 90.8]


@pytest.mark.parametrize(
    ("arms", "baseline", "sentence"),
    [
        (
            {"darts": [93.0, 93.2, 92.9], "enas": [90.1, 90.9], "random": RANDOM},
            "",
            "Random 90.4% (5 cells). Best searched: darts, 93.0%, +2.9% (.* to .*), decided.",
        ),
        (
            {"darts": [90.2, 90.6, 90.9], "random": RANDOM},
            "",
            r"Random 90.4% (5 cells). Best .*, 90.6%, +0.2% (.*), undecided (.* would decide it).",
        ),
        (
            {"darts": [89.0], "random": RANDOM},
            "",
            r"Random 90.4% (5 cells). Best searched: darts, 89.0%, -1.5%, cannot be tested (.*one network).",
        ),
        (
            {"darts": [93.0, 93.2, 92.9], "enas": RANDOM},
            "",
            "No random cells. The largest difference: darts is 2.63 points above enas (.* to .*), decided.",
        ),
        (
            {"darts": [93.0, 93.2, 92.9], "enas": RANDOM},
            "enas",
            "enas 90.4% (5 distinct cells). Best searched: darts, 93.0%, +2.9% (.* to .*), decided.",
        ),
        ({"darts": [93.0, 93.2]}, "", "darts: 93.1%. There is nothing to compare it with."),
    ],
)
def test_the_headline_says_what_is_best_by_how_much_and_whether_it_is_decided(arms, baseline, sentence):
    pattern = ".*".join(map(re.escape, sentence.split(".*")))
    assert re.fullmatch(pattern, first(table(**arms), baseline))


def test_strategies_are_short_and_their_options_are_in_the_legend():
    options = [
        {"order": 2},
        {"candidates": 300},
        {"selection": "nsga2", "generations": 13},
        {},
        {"candidates": 300},
    ]
    frame = pd.DataFrame(
        {
            "target": "t",
            "strategy": ["darts", "evolution", "evolution", "random", "random"],
            "strategy_options": [json.dumps(each) for each in options],
            "source": ["c10", "c10", "c10", "", "c10"],
            "proxy": ["all", "all", "all", "", "all"],
            "top1": 90.0,
        }
    )
    names = names_of(findings(frame))
    assert list(names.strategies.values()) == [
        "darts",
        "evolution candidates=300",
        "evolution selection=nsga2",
        "random candidates=300",
        "random",
    ]
    assert names.legend == [
        ("darts", "order=2"),
        ("evolution selection=nsga2", "generations=13, selection=nsga2"),
    ]
    assert names.text("darts (order=2) on c10 / all") == "darts on all"


@pytest.mark.parametrize(
    ("other", "places", "legend"),
    [
        (
            "mnist@split=train",
            ["c10 / entropy:9", "mnist / all"],
            [("c10", "c10@split=test"), ("mnist", "mnist@split=train")],
        ),
        ("c10@split=train", ["c10@split=test / entropy:9", "c10@split=train / all"], []),
    ],
)
def test_proxies_lose_what_does_not_tell_them_apart(other, places, legend):
    frame = pd.DataFrame(
        {
            "target": "t",
            "strategy": ["darts", "darts", "random"],
            "source": ["c10@split=test", other, ""],
            "proxy": ["entropy:9,scores=a/b.parquet", "all", ""],
            "top1": 90.0,
        }
    )
    names = names_of(findings(frame))
    assert (list(names.places.values()), names.legend) == (places, legend)


def test_a_part_that_most_proxies_have_is_named_once():
    proxies = ["images:9+resolution:16", "classes:5+resolution:16", "images:9+resolution:8"]
    frame = pd.DataFrame(
        {
            "target": "t",
            "strategy": ["darts", "darts", "darts", "random"],
            "source": ["c10@split=test", "c10@split=test", "mnist", ""],
            "proxy": [*proxies, ""],
            "top1": 90.0,
        }
    )
    names = names_of(findings(frame))
    assert list(names.places.values()) == [
        "c10 / images:9",
        "c10 / classes:5",
        "mnist / images:9+resolution:8",
    ]
    assert names.legend == [
        ("c10", "c10@split=test"),
        ("resolution:16", "every proxy without another resolution"),
    ]
    shown = names.frame(frame)
    assert shown["source"].tolist() == ["c10", "c10", "mnist", ""]
    assert shown["proxy"].tolist() == ["images:9", "classes:5", "images:9+resolution:8", ""]


@pytest.fixture(scope="module")
def full():
    return findings(study())


def test_every_answer_is_short_and_every_paragraph_has_what_a_referee_asks_for(full):
    names = names_of(full)
    for answer in full.answers:
        assert len(brief(full, answer)) < 320
        written = paragraph(full, answer, names)
        for word in (
            "strategies on 3 proxies",
            "independent searches",
            "separately trained",
            "distinct cells",
        ):
            assert word in written.text
        assert written.methods
        assert set(written.methods) <= set(METHODS)
    random = paragraph(full, full.answers[-1], names).text
    for word in (
        "95% interval",
        "degrees of freedom",
        "Holm's correction",
        "margin of 0.5sd",
        "80%",
        "no evidence",
    ):
        assert word in random


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_bibtex_of_a_method_is_balanced_and_has_what_a_citation_needs(method):
    assert re.match(rf"@(article|inproceedings){{{method.key},\n", method.bibtex)
    assert method.bibtex.count("{") == method.bibtex.count("}")
    for name in ("author", "title", "year"):
        assert f"  {name} = {{" in method.bibtex


def test_the_first_screen_has_a_sentence_and_a_picture_with_numbers_for_each_question(tmp_path):
    text = (make(tmp_path, study()) / "index.html").read_text()
    screen = text[text.index("<h1") : text.index("<nav")]
    assert screen.count('class="answer"') == 3
    pictures = re.findall(r'<svg role="(?:img|group)" aria-label="([^"]*)"', screen)
    assert len(pictures) == 3
    assert all(re.search(r"[+-]?\d+\.\d\d", told) for told in pictures)


def test_every_network_is_shown_where_a_finding_depends_on_the_tail(tmp_path):
    collapsed = [93.0 + 0.02 * i for i in range(18)] + [91.0, 90.9]
    frame = table(darts=collapsed, random=[90 + 0.02 * i for i in range(24)])
    out = make(tmp_path, frame)
    assert (out / "figures" / "networks.svg").exists()
    assert "depends on the tail" in read(out).text


def test_an_early_look_is_said_to_be_no_finding(tmp_path, capsys):
    plan = {"format": "nastransfer-study", "jobs": [{"kind": "transfer", "folder": "transfers/b"}]}
    write_run(tmp_path / "runs", "transfers/a")
    (tmp_path / "runs" / "study.json").write_text(json.dumps(plan))
    text = read(make_from(tmp_path / "runs", tmp_path / "out")).text
    assert EARLY in text
    assert EARLY in capsys.readouterr().out
    assert "1 transfer never started" in text


def test_a_dry_run_prints_one_line_and_writes_nothing(tmp_path, capsys):
    make(tmp_path, table(darts=[93.0], random=RANDOM), dry_run=True)
    printed = capsys.readouterr().out
    assert printed == (
        "table.csv: 6 rows; target: t; strategy: darts; top1, in percent; "
        "compared with random cells: 5 rows.\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_results_so_far_warn_of_an_early_look_and_have_no_paragraph_for_a_paper(tmp_path):
    plan = {"format": "nastransfer-study", "jobs": [{"kind": "transfer", "folder": "transfers/b"}]}
    write_run(tmp_path, "transfers/a")
    (tmp_path / "study.json").write_text(json.dumps(plan))
    text = results_so_far(tmp_path, replicates=1000)
    assert EARLY in Page(f"<body>{text}</body>").text
    assert "<h1" not in text
    assert "For a paper" not in text
