import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest

from nastransfer_nni.report import collect, tables
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import report
from nastransfer_nni.report.statistics import table
from search_spaces.errors import UserError
from search_spaces.zoo import zoo
from tests.report.statistics.studies import study

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects what a page refers to, and sees that its tags close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]

    def handle_data(self, data):
        self.text += data


def make(tmp_path, frame, **options):
    frame.to_csv(tmp_path / "table.csv", index=False)
    out = tmp_path / "out"
    report(
        ReportConfig.create(
            {"input": str(tmp_path / "table.csv"), "out": str(out), "samples": 1000} | options
        )
    )
    return out


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return make(tmp_path_factory.mktemp("full"), study())


def test_the_page_is_whole_and_needs_no_other_site(full):
    page = Page((full / "index.html").read_text())
    for link in page.links:
        assert link.startswith("#") or (full / link).exists(), link
    for part in (
        "Relative improvement over random",
        "best cell of each strategy",
        "checklist",
        "cannot be said",
    ):
        assert part in page.text
    assert (full / "index.html").stat().st_size < 2_000_000


def test_every_table_and_figure_has_its_files(full):
    names = {"improvement", "results", "rankings", "correlation", "cost"}
    assert {path.stem for path in (full / "tables").glob("*.md")} == names
    assert {path.stem for path in (full / "tables").glob("*.tex")} == names
    drawn = {
        "improvement",
        "ranks",
        "movement",
        "critical_difference",
        "correlation_1",
        "correlation_2",
        "cost",
    }
    for ending in ("svg", "png"):
        assert {path.stem for path in (full / "figures").glob(f"*.{ending}")} == drawn


def test_csv_files_are_those_of_the_contract(full):
    assert tuple(pd.read_csv(full / "results.csv").columns) == table.COLUMNS
    improvement = pd.read_csv(full / "relative_improvement.csv")
    assert tuple(improvement.columns) == tables.IMPROVEMENT
    assert len(improvement) == 15
    again, _ = table.read(full / "results.csv")
    pd.testing.assert_frame_equal(again, table.check(study())[0])


def test_the_same_table_gives_the_same_numbers(full, tmp_path):
    again = make(tmp_path, study().iloc[::-1])
    key = ["source", "proxy", "strategy"]
    one, two = (
        pd.read_csv(out / "relative_improvement.csv").sort_values(key, ignore_index=True)
        for out in (full, again)
    )
    pd.testing.assert_frame_equal(one, two)
    for name in ("ranks", "cost"):
        assert (
            "<metadata>" not in (full / "figures" / f"{name}.svg").read_text()
            or "date" not in (full / "figures" / f"{name}.svg").read_text()
        )


def test_published_runs_make_a_report_despite_a_missing_arm(published, tmp_path):
    out = tmp_path / "out"
    report(ReportConfig.create({"input": str(published), "out": str(out), "samples": 1000}))
    page = Page((out / "index.html").read_text())
    assert "No searched runs: stacnas." in page.text
    assert pd.read_csv(out / "relative_improvement.csv").query("strategy == 'pdarts'")["target"].tolist() == [
        "cifar10",
        "cifar100",
    ]


def test_few_runs_are_called_insufficient(tmp_path):
    out = make(tmp_path, study(draws=3, searches=1, random_cells=3))
    page = Page((out / "index.html").read_text())
    assert page.text.count("insufficient: too few runs") == 18  # 15 comparisons, 3 pairs of proxies
    assert pd.read_csv(out / "relative_improvement.csv")["p_value"].isna().all()
    assert "better" not in (out / "tables" / "improvement.md").read_text()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"target": "t", "strategy": ["a", "random"], "top1": [91.0, 90.0]}),
        pd.DataFrame({"target": "t", "strategy": ["a"], "top1": [91.0]}),
        pd.DataFrame({"target": "t", "strategy": ["random"] * 9, "top1": [91.0] * 9}),
        pd.DataFrame({"target": "t", "strategy": ["a", "random"] * 8, "top1": [90.0] * 16}),
        pd.DataFrame({"target": "t", "strategy": ["a"] * 8 + ["random"] * 8, "top1": [2.0] * 8 + [0.0] * 8}),
        pd.DataFrame(
            {"target": "t", "method": ["a", "b"], "arm": ["searched", "random"], "top1": [91.0, 90.0]}
        ),
        study(draws=1, searches=8, random_cells=0, proxies={("s", "p"): 0.0}),
        study(draws=3, searches=3, trainings=2, targets=("a", "b")).drop(
            columns=["search_seconds", "source_top1"]
        ),
    ],
    ids=[
        "two runs",
        "one run",
        "random alone",
        "all equal",
        "random at zero",
        "arms apart",
        "no random",
        "no cost",
    ],
)
def test_odd_tables_make_a_page(tmp_path, frame):
    Page((make(tmp_path, frame) / "index.html").read_text())


def test_names_from_the_table_cannot_break_the_page_or_the_tables(tmp_path):
    frame = study(draws=2, searches=1, strategies={"darts": 0.0, "enas": 0.1})
    frame["strategy"] = frame["strategy"].replace({"enas": '<script>alert(1)</script> & a_b|c $x$ "q"'})
    out = make(tmp_path, frame)
    text = (out / "index.html").read_text()
    Page(text)
    assert "<script" not in text
    lines = [
        line for line in (out / "tables" / "improvement.md").read_text().splitlines() if "script" in line
    ]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r"a\_b" in (out / "tables" / "improvement.tex").read_text()


def write_run(root, name, status="completed", found_by=None, **summary):
    folder = root / name
    folder.mkdir(parents=True)
    config = {
        "command": "transfer",
        "options": {"arch": "DARTS_V2"},
        "command_line": "python -m x",
        "versions": {},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "status.json").write_text(json.dumps({"status": status}))
    figures = {"top1": 90.0, "top5": 99.0, "params": 10, "mult_adds": 20, "target": "digits", "train_seed": 0}
    (folder / "summary.json").write_text(
        json.dumps(figures | {"protocol": "p", "protocol_hash": "h"} | summary)
    )
    genotype = zoo()["DARTS_V2"].genotype.to_dict()
    (folder / "architecture.json").write_text(json.dumps({"genotype": genotype, "found_by": found_by}))
    return folder


FOUND = {
    "strategy": "darts",
    "source": "digits",
    "proxy": "classes:5",
    "seed": 3,
    "options": {"order": 2, "proxy_seed": 7},
    "search_seconds": 5.0,
    "data": {"fingerprint": "abc"},
}


def test_finished_transfers_below_a_folder_become_rows(tmp_path):
    write_run(tmp_path, "a/one", found_by=FOUND, top1=91.5)
    write_run(tmp_path, "a/two")
    write_run(tmp_path, "b/three", status="failed")
    (write_run(tmp_path, "b/four") / "summary.json").write_text("{")
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "config.yaml").write_text("command: search\n")
    rows, remarks, provenance = collect.collect(tmp_path)
    assert remarks == ["Runs left out: 1 damaged, 1 failed."]
    assert rows["run"].tolist() == ["a/one", "a/two"]
    one, two = rows.to_dict("records")
    assert (one["strategy"], one["strategy_options"]) == ("darts", '{"order":2}')
    assert (one["proxy_seed"], one["search_seed"], one["train_seed"], one["top1"]) == ("7", "3", "0", 91.5)
    assert (two["strategy"], two["source"], two["search_seed"]) == ("DARTS_V2", "", "")
    assert provenance["a/one"]["fingerprints"] == ["abc"]


def test_a_report_of_runs_links_to_them_and_keeps_their_origin(tmp_path):
    for seed in range(3):
        write_run(tmp_path, f"runs/{seed}", found_by=FOUND | {"seed": seed}, top1=90.0 + seed)
    out = tmp_path / "out"
    report(ReportConfig.create({"input": str(tmp_path / "runs"), "out": str(out), "samples": 1000}))
    page = Page((out / "index.html").read_text())
    assert "../runs/2" in page.links
    assert json.loads((out / "provenance.json").read_text())["runs"]["2"]["command_line"] == "python -m x"
    # the table keeps its origin when the report is made again from it
    report(
        ReportConfig.create({"input": str(out / "results.csv"), "out": str(tmp_path / "b"), "samples": 1000})
    )
    assert json.loads((tmp_path / "b" / "provenance.json").read_text())["runs"]["2"]["fingerprints"] == [
        "abc"
    ]


def test_a_folder_without_finished_transfers_is_refused(tmp_path):
    write_run(tmp_path, "a", status="failed")
    with pytest.raises(UserError, match=r"no finished transfer below .* \(1 failed\)"):
        collect.collect(tmp_path)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["nowhere"], "--input: no such file or folder"),
        ([], "--input is needed"),
        ([__file__, "--out", __file__], "--out: is a file"),
        ([__file__, "--margin", "0"], "--margin"),
        ([__file__, "--confidence", "95"], "--confidence"),
        ([__file__, "--smaples", "5000"], "did you mean '--samples'"),
        ([__file__], "cannot be read as a CSV table"),
    ],
)
def test_mistakes_are_refused_in_one_line(flags, told):
    command = [sys.executable, "-m", "nastransfer_nni.report", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib\nfrom nastransfer_nni.base import cli\n"
        "from nastransfer_nni.report.__main__ import COMMAND\n"
        "with contextlib.suppress(SystemExit): cli.main('report', COMMAND, ['--help'])\n"
        "print([name for name in ('pandas', 'scipy', 'matplotlib', 'torch', 'nni') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.rstrip().endswith("[]"), done.stdout + done.stderr
    assert "--margin" in done.stdout
