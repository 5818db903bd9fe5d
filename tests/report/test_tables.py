from pathlib import Path

import pandas as pd
import pytest

from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import report
from nastransfer_nni.report.tables import TABLES
from nastransfer_nni.report.tables.text import intervals, latex, markdown, numbers, p_value, text_table
from tests.report import example_table
from tests.report.pages import read
from tests.report.statistics.studies import study

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_is_documented(table):
    text = (DOCS / "report.md").read_text()
    assert f"| `{table.name}` | " in text
    assert table.csv in text


def test_names_and_files_are_unique():
    assert len({table.name for table in TABLES}) == len(TABLES)
    files = [table.csv for table in TABLES if table.csv]
    assert len(set(files)) == len(files)


def test_a_table_is_added_by_one_file_and_its_name_in_the_registry(tmp_path):
    results = study(draws=2, searches=2, random_cells=4, proxies={("s", "p"): 0.0})
    results.to_csv(tmp_path / "results.csv", index=False)
    config = ReportConfig(input=str(tmp_path / "results.csv"), out=str(tmp_path / "out"), replicates=1000)
    out = report(config, (*TABLES, example_table.TABLE)).parent
    expected = results[results["strategy"] != "random"].groupby("strategy")["top1"].std()
    written = pd.read_csv(out / "tables" / "spread.csv").set_index("strategy")["deviation"]
    assert "darts (order=2)" in written.index  # the page calls it darts
    written = written.rename({"darts (order=2)": "darts"})
    assert written.to_dict() == pytest.approx(expected.to_dict(), rel=1e-5)
    shown = {row["Strategy"]: row["Deviation"] for row in read(out).rows("Deviation")}
    assert shown == {name: f"{value:.2f} points" for name, value in written.items()}
    assert "| Proxy | Strategy | Deviation |" in (out / "tables" / "spread.md").read_text()
    assert "Spread between runs" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a & b", r"a \& b"),
        ("5%", r"5\%"),
        ("$x$", r"\$x\$"),
        ("#1", r"\#1"),
        ("a_b", r"a\_b"),
        ("{a}", r"\{a\}"),
        ("a~b", r"a\textasciitilde b"),
        ("a^b", r"a\textasciicircum b"),
        ("a\\b", r"a\textbackslash b"),
        ("< 0.001", "$<$ 0.001"),
        ("a > b", "a $>$ b"),
        ("a|b", "a$|$b"),
    ],
)
def test_latex_escapes_every_special_character(text, escaped):
    heading, _, rows = latex(pd.DataFrame({text: [text]})).partition("\\midrule\n")
    assert rows.splitlines()[0] == rf"{escaped} \\"
    assert heading.splitlines()[-1] == rf"{escaped} \\"


def test_latex_is_a_booktabs_table():
    lines = latex(pd.DataFrame({"a": ["1", "3"], "b": ["2", "4"]})).splitlines()
    assert lines == [
        r"\begin{tabular}{ll}",
        r"\toprule",
        r"a & b \\",
        r"\midrule",
        r"1 & 2 \\",
        r"3 & 4 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_markdown_keeps_cells_apart():
    assert markdown(pd.DataFrame({"a": ["x|y\nz"]})) == "| a |\n| --- |\n| x\\|y z |\n"


def test_missing_numbers_are_empty_and_empty_columns_are_left_out():
    nan = float("nan")
    assert numbers([1.25, nan], "{:+.1f}") == ["+1.2", ""]
    assert intervals([1, nan], [2, nan]) == ["1.00 to 2.00", ""]
    assert [p_value(p) for p in (nan, 0.0004, 0.0314)] == ["", "< 0.001", "0.031"]
    assert list(text_table({"a": ["", "x"], "b": ["", ""]}).columns) == ["a"]
