import csv
import html
import json
import re
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest

from nastransfer_nni.report import best_cells, page
from nastransfer_nni.report.statistics import reading, table
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables import TABLES
from nastransfer_nni.report.tables.improvement import CSV_COLUMNS
from tests.report.pages import Page, make, make_from, read
from tests.report.statistics.studies import study

FIGURES = (
    "improvement",
    "proxies",
    "ranks",
    "movement",
    "critical_difference",
    "correlation_1",
    "correlation_2",
    "cost",
)
"""Figures of the report on `study()`."""


@pytest.fixture(autouse=True)
def one_best_cell(monkeypatch):
    """Drawings take half of the time of a small page; `full` has them all."""
    monkeypatch.setattr(best_cells, "MAX_CELLS", 1)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return make(tmp_path_factory.mktemp("full"), study())


def test_the_parser_refuses_a_broken_page():
    with pytest.raises(AssertionError):
        Page("<p><b>text</p>")
    with pytest.raises(AssertionError):
        Page("<p>text")


def test_the_page_is_complete_and_needs_no_other_site(full):
    found = read(full)
    for link in found.links:
        assert link.startswith("#") or (full / link).exists(), link
    for heading in ("The best cell of each strategy", "Limitations", "Provenance", "checklist"):
        assert heading in found.text
    assert len(
        re.findall(
            r"<figure><svg role=\"(?:img|group)\" aria-label=\"[^\"]*\d", (full / "index.html").read_text()
        )
    ) == len(FIGURES)
    assert (full / "index.html").stat().st_size < 2_000_000


def test_every_dot_tells_the_runs_behind_it(full):
    """Every cell of the plots of source against target names its search; no id is there twice."""
    text = html.unescape((full / "index.html").read_text())
    tips = re.findall(r'class="dot"[^>]*><title>([^<]*)</title>', text)
    results = study()
    for (source, strategy), rows in results.groupby(["source", "strategy"]):
        for top1, seed in zip(rows["source_top1"], rows["search_seed"], strict=True):
            of_cell = f"% on the target, {top1:.2f}% on the source\n"
            assert any(of_cell in tip and f"search {seed}" in tip for tip in tips), (source, strategy)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))


def test_headings_go_down_one_level_at_a_time(full):
    levels = [int(level) for level in re.findall(r"<h(\d)", (full / "index.html").read_text())]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_and_figure_has_its_files(full):
    names = {each.name for each in TABLES} - {"pairs"}  # there are random cells to compare with
    for ending in ("md", "tex"):
        assert {path.stem for path in (full / "tables").glob(f"*.{ending}")} == names
    for ending in ("svg", "png"):
        assert {path.stem for path in (full / "figures").glob(f"*.{ending}")} == set(FIGURES)
    written = {path.relative_to(full).as_posix() for path in full.rglob("*.csv")}
    assert written == {"results.csv", *(each.csv for each in TABLES if each.csv)} - {"tables/pairs.csv"}
    assert {"relative_improvement.csv", "tables/summary.csv", "tables/ranking_movements.csv"} < written


def test_every_table_is_on_the_page_and_in_the_markdown(full):
    found, markdown = read(full), (full / "report.md").read_text()
    for each in (each for each in TABLES if each.name != "pairs"):
        lines = (full / "tables" / f"{each.name}.md").read_text().splitlines()
        cells = [
            [html.unescape(cell.strip()) for cell in line.strip("|").split("|")]
            for line in lines
            if "---" not in line
        ]
        assert cells in found.tables
        assert f"### {each.title}\n\n" + "\n".join(lines) in markdown


def test_csv_files_have_the_documented_columns(full):
    assert tuple(pd.read_csv(full / "results.csv").columns) == table.COLUMNS
    improvement = pd.read_csv(full / "relative_improvement.csv")
    assert tuple(improvement.columns) == CSV_COLUMNS
    assert len(improvement) == 15
    again, _ = reading.read(full / "results.csv")
    pd.testing.assert_frame_equal(again, reading.check(study())[0])


def test_the_numbers_on_the_page_are_those_of_the_results(full):
    """Every strategy has as many runs on each draw here, so that plain means are the nested ones."""
    results = study()
    random = results.loc[results["strategy"] == "random", "top1"].mean()
    shown, evidence = (
        {(row["Proxy"], row["Strategy"]): row for row in read(full).rows(heading)}
        for heading in ("RI %", "Beats a random network")
    )
    searched = results[results["strategy"] != "random"]
    assert len(shown) == searched.groupby(["source", "proxy", "strategy"]).ngroups
    for (source, proxy, strategy), rows in searched.groupby(["source", "proxy", "strategy"]):
        row = shown[f"{source} / {proxy}", strategy]
        mean = rows["top1"].mean()
        assert row["Top-1 %"] == f"{mean:.2f}"
        assert row["RI %"] == f"{100 * (mean - random) / random:+.2f}"
        rest = evidence[f"{source} / {proxy}", strategy]
        assert rest["Searches, trainings, cells"] == ", ".join([str(len(rows))] * 3)
        assert rest["Random"] == "16, 16, 16"


def test_findings_on_the_page_follow_from_the_intervals(full):
    for row in read(full).rows("RI %"):
        low, high = map(float, row["95% interval"].split(" to "))
        if row["Finding"].startswith(("better", "worse")):
            assert (low > 0) == row["Finding"].startswith("better")
            assert low * high > 0
        elif row["Finding"].startswith("undecided"):
            assert row["p"] > "0.05"


def test_the_order_of_the_rows_does_not_matter(full, tmp_path):
    key = ["source", "proxy", "strategy"]
    one, two = (
        pd.read_csv(out / "relative_improvement.csv").sort_values(key, ignore_index=True)
        for out in (full, make(tmp_path, study().iloc[::-1]))
    )
    pd.testing.assert_frame_equal(one, two)


def test_equal_input_gives_equal_files_and_earlier_ones_go(tmp_path):
    rows, _ = reading.check(study(draws=2, searches=1, proxies={("s", "p"): 0.0, ("s", "q"): 0.1}))
    findings = Findings(rows, AnalysisOptions(replicates=1000))
    provenance = {"input": "x", "runs": {}, "report": {"command_line": "c", "at": "t", "git_commit": None}}
    provenance["report"]["versions"] = {"python": "3"}
    source = page.TableSource(
        path=tmp_path / "table.csv", notes=[], missing="none is missing", provenance=provenance
    )
    one, two = (
        page.write(findings, tmp_path / name, source, TABLES).parent.rglob("*.*") for name in ("a", "b")
    )
    for first, second in zip(sorted(one), sorted(two), strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes(), first.name
    note = tmp_path / "a" / "provenance.json"
    content = json.loads(note.read_text())
    assert "figures/improvement.svg" in content["files"]
    note.write_text(json.dumps(content | {"files": [*content["files"], "figures/9_old.svg", "../kept.svg"]}))
    for name in ("a/figures/9_old.svg", "a/figures/own.svg", "kept.svg"):
        (tmp_path / name).touch()
    assert (tmp_path / "a/tables/effects.csv").exists()
    page.write(findings, tmp_path / "a", source, TABLES[:1])
    assert not (tmp_path / "a/tables/effects.csv").exists()
    assert not (tmp_path / "a/figures/9_old.svg").exists()
    assert (tmp_path / "a/figures/own.svg").exists()
    assert (tmp_path / "kept.svg").exists()
    assert set(json.loads(note.read_text())["files"]) < set(content["files"])


def test_published_runs_make_a_report_despite_a_missing_arm(published, tmp_path):
    out = make_from(published, tmp_path / "out")
    assert "No searched runs: stacnas." in read(out).text
    improvement = pd.read_csv(out / "relative_improvement.csv")
    assert improvement.query("strategy == 'pdarts'")["target"].tolist() == ["cifar10", "cifar100"]


def test_three_runs_may_be_a_finding_and_one_cannot_be_tested(tmp_path):
    strategies = {"clear": 5.0, "single": 1.0, "alike": 0.0}
    frame = study(draws=3, searches=1, random_cells=8, strategies=strategies, proxies={("s", "p"): 0.0})
    first = frame.index[frame["strategy"] == "single"][1:]
    found = {row["Strategy"]: row for row in read(make(tmp_path, frame.drop(index=first))).rows("RI %")}
    assert found["clear"]["Finding"] == "better"
    assert found["single"]["Finding"].startswith("cannot be tested: the searched arm: one network")
    assert "would decide it" in found["alike"]["Finding"]
    assert float(found["clear"]["Detectable %"]) > 0


@pytest.mark.parametrize(
    ("frame", "findings"),
    [
        pytest.param(
            pd.DataFrame({"target": "t", "strategy": ["a", "random"], "top1": [91.0, 90.0]}),
            ["cannot be tested: the searched arm: one network"],
            id="one run per arm",
        ),
        pytest.param(
            pd.DataFrame({"target": "t", "strategy": ["a"], "top1": [91.0]}), ["no random runs"], id="one run"
        ),
        pytest.param(
            pd.DataFrame({"target": "t", "strategy": ["random"] * 9, "top1": [91.0] * 9}),
            ["no searched runs"],
            id="random alone",
        ),
        pytest.param(
            pd.DataFrame({"target": "t", "strategy": ["a", "random"] * 8, "top1": [90.0] * 16}),
            ["cannot be tested: all networks of both arms have the same accuracy"],
            id="all equal",
        ),
        pytest.param(
            pd.DataFrame(
                {"target": "t", "strategy": ["a"] * 8 + ["random"] * 8, "top1": [2.0] * 8 + [0.0] * 8}
            ),
            ["cannot be tested: all networks of both arms have the same accuracy"],
            id="random at zero",
        ),
        pytest.param(
            pd.DataFrame(
                {"target": "t", "method": ["a", "b"], "arm": ["searched", "random"], "top1": [91.0, 90.0]}
            ),
            ["no random runs", "no searched runs"],
            id="no common method",
        ),
        pytest.param(
            study(draws=1, searches=8, random_cells=0, proxies={("s", "p"): 0.0}),
            ["no random runs"] * 5,
            id="no random",
        ),
    ],
)
def test_odd_tables_make_a_page_with_the_right_findings(tmp_path, frame, findings):
    text = (make(tmp_path, frame) / "tables" / "improvement.md").read_text()
    assert re.findall(r"\| ([^|]*) \|$", text, re.MULTILINE)[2:] == findings


def test_strategies_that_were_not_run_on_every_proxy_are_shown_where_they_were(tmp_path):
    frame = study(draws=3, searches=1)
    is_missing = (frame["strategy"] == "enas") & (frame["proxy"] == "all")
    found = read(make(tmp_path, frame[~is_missing]))
    assert len([row for row in found.rows("RI %") if row["Strategy"] == "enas"]) == 2
    assert "Expected rank on each proxy" in found.text


def test_sources_with_few_and_many_cells_share_a_table(tmp_path):
    proxies = {("few", "p"): 0.0, ("many", "p"): 0.0}
    frame = study(draws=3, searches=1, proxies=proxies, random_cells=0)
    is_extra = (frame["source"] == "few") & ~frame["strategy"].isin(["darts", "enas"])
    rows = read(make(tmp_path, frame[~is_extra])).rows("Regret")
    cells = {row["Source"]: row["Cells"] for row in rows}
    assert cells == {"few": "6", "many": "15"}


def test_several_targets_without_costs_have_numbered_files_and_no_table_of_costs(tmp_path):
    frame = study(draws=3, searches=1, trainings=2, targets=("a", "b"), proxies={("s", "p"): 0.0})
    out = make(tmp_path, frame.drop(columns=["search_seconds", "source_top1"]))
    names = {f"{number}_{name}" for number in (1, 2) for name in ("improvement", "evidence", "results")}
    assert {path.stem for path in (out / "tables").glob("*.md")} == names
    assert "combinations of target and protocol" in read(out).text


def test_names_from_the_table_cannot_break_the_page_or_the_tables(tmp_path):
    name = '<script>alert(1)</script> & a_b|c $x$ "q"\nnew line'
    frame = study(draws=2, searches=1, strategies={"darts": 0.0, "enas": 0.1})
    frame["strategy"] = frame["strategy"].replace({"enas": name})
    out = make(tmp_path, frame)
    text = (out / "index.html").read_text()
    assert "<script>alert" not in text
    assert " ".join(name.split()) in {row["Strategy"] for row in Page(text).rows("RI %")}
    lines = (out / "tables" / "improvement.md").read_text().splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


HOSTILE = {
    "html": "<img src=x onerror=alert(1)>",
    "link": "[a](javascript:alert(1)) `code` *b* _i_",
    "formula": '=HYPERLINK("http://a.b")',
    "control": "a\x00\x07\x1b[31m\x85\u2028b\ufffe",
    "surrogate": "a\ud800b",
}


def test_hostile_names_stay_text_in_every_file(tmp_path):
    frame = study(draws=2, searches=1, strategies=dict.fromkeys(HOSTILE, 0.0))
    names = [HOSTILE.get(name, name) for name in frame["strategy"]]
    frame["strategy"] = pd.Series(names, dtype=object)
    frame.loc[frame["strategy"] == "random", "strategy_options"] = ""
    frame["proxy"] = frame["proxy"].replace({"all": HOSTILE["html"]})
    frame["search_seconds"] = 10.0
    rows, _ = reading.check(frame)
    provenance = {
        "input": "x",
        "runs": {},
        "report": {"command_line": "`c` <b>", "at": "t", "git_commit": None},
    }
    provenance["report"]["versions"] = {"python": "3"}
    source = page.TableSource(path=tmp_path / "<b>.csv", notes=["<b>"], missing="<b>", provenance=provenance)
    findings = Findings(rows, AnalysisOptions(replicates=1000))
    out = page.write(findings, tmp_path / "out", source, TABLES).parent
    for path in (out / "figures").glob("*.svg"):
        ElementTree.parse(path)
    read(out)
    for path in out.rglob("*"):
        text = path.read_text() if path.suffix in (".md", ".html", ".csv", ".tex") else ""
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), path
        if path.suffix in (".md", ".html"):
            assert "<img" not in text
            assert "<b>.csv" not in text
    markdown = (out / "report.md").read_text()
    assert r"\[a\](javascript:alert(1)) \`code\` \*b\* \_i\_" in markdown
    assert "`` `c` <b> ``" in markdown
    for path in out.rglob("*.csv"):
        for row in csv.reader(path.open(newline="")):
            assert not any(field.startswith("=") for field in row), path
    pd.testing.assert_frame_equal(reading.read(out / "results.csv")[0], rows)


def test_the_best_cell_of_random_is_the_last_and_all_are_compared_with_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(best_cells, "MAX_CELLS", 3)
    frame = study(draws=2, searches=1, strategies={"darts": -5.0, "enas": -4.0})
    text = (make(tmp_path, frame) / "index.html").read_text()
    names = re.findall(r'class="best"><h\d>([^(< ]*)', text)
    assert names == ["enas", "darts", "random"]
    assert len(re.findall(r"\d of 8 operations are not in that of enas", text)) == 2 * 2 * 2  # caption, alt


def test_small_networks_have_sizes_with_digits(tmp_path):
    frame = study(draws=2, searches=1).assign(params=4_660.0, mult_adds=999_960.0)
    shown = read(make(tmp_path, frame)).rows("Params")
    assert {(row["Params"], row["Mult-adds"]) for row in shown} == {("4.66K", "1.00M")}


def test_the_page_says_how_many_networks_there_are_and_how_many_are_missing(full, tmp_path):
    assert "table.csv: 136 trained networks; every row has a result." in read(full).text
    frame = study(draws=2, searches=1)
    frame["top1"] = frame["top1"].astype(object)
    frame.loc[:1, "top1"] = ""
    text = read(make(tmp_path, frame)).text
    assert f"{len(frame) - 2} trained networks; rows left out because they have no top1: 2." in text


def test_notes_explain_only_columns_that_are_shown(full, tmp_path):
    frame = pd.DataFrame({"target": "t", "strategy": ["a", "random"], "top1": [91.0, 90.0]})
    few = (make(tmp_path, frame) / "report.md").read_text()
    assert "RI is 100" in few
    assert "The column p tests" not in few
    assert "The column p beyond" in (full / "report.md").read_text()


def test_provenance_names_the_input_the_command_and_the_versions(full):
    provenance = json.loads((full / "provenance.json").read_text())
    assert provenance["input"] == "table.csv"
    assert len(provenance["sha256"]) == 64
    assert set(provenance["report"]) >= {"command_line", "at", "git_commit", "versions"}
    assert {"python", "numpy", "scipy", "pandas"} < set(provenance["report"]["versions"])
    assert provenance["report"]["command_line"] in read(full).text
