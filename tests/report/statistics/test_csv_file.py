import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nastransfer_nni.report.statistics import csv_file, forms, reading, table
from nastransfer_nni.report.statistics.column_names import meanings
from nastransfer_nni.report.statistics.fields import FORMULA_STARTS, NUMBER, clean
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions
from search_spaces.errors import UserError

SEMICOLONS = "Read as a table with semicolons between its fields"


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return reading.read(path)

    return read


HEAD = "target,strategy,top1,params"
TWO_ROWS = [("c10", "darts", 97.25, 3.5), ("c10", "random", 96.0, 2.5)]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\nc10,darts,97.25,3.5\nc10,random,96.0,2.5\n",
        f"{HEAD}\nc10,darts,97.25,3.5,\nc10,random,96.0,2.5,\n",
        f"{HEAD},\nc10,darts,97.25,3.5,\nc10,random,96.0,2.5,,\n",
        f"{HEAD},,\r\nc10,darts,97.25,3.5\r\n,,,\r\nc10,random,96,2.5,,\r\n",
        f" {HEAD.upper()}\n\n c10 , darts ,97.25 , 3.5\nc10,random\u00a0,96.0,2.5",
        f"\ufeff{HEAD}\nc10,\u200bdarts,97.25%,3.5\nc10,\ufeffrandom,96 %,2.5",
        f'""{HEAD}\nc10,"darts","97.25","3.5"\nc10,random,96.0,2.5'.replace('""target', '"target"'),
        f",{HEAD}\n0,c10,darts,97.25,3.5\n1,c10,random,96.0,2.5\n",
        f"{HEAD}\nc10,darts,97.25,3.5\nc10,random,96.0,2.5\nc10,darts,NA,3\n",
        "target;strategy;top1;params\nc10;darts;97.25;3.5\nc10;random;96;2.5\n",
        "target;strategy;top1;params\nc10;darts;97,25;3,5;\nc10;random;96,0;2,5;\n",
        "sep=;\r\ntarget;strategy;top1;params\r\nc10;darts;97,25;3,500\r\nc10;random;96;2,5\r\n",
        "target\tstrategy\ttop1\tparams\nc10\tdarts\t97,25\t3,5\nc10\trandom\t96\t2,5\n",
        f'{HEAD}\nc10,darts,"97,25","3,5"\nc10,random,96,"2,5"\n',
        f"{HEAD}\nc10,darts,97.25,3.5\nc10,random,96.0,2.5\n".encode("utf-16"),
        f"{HEAD}\rc10,darts,97.25,3.5\rc10,random,96.0,2.5\r",
    ],
)
def test_what_spreadsheets_write_is_read_as_the_same_table(read, text):
    rows, _ = read(text)
    found = rows[["target", "strategy", "top1", "params"]].itertuples(index=False, name=None)
    assert list(found) == TWO_ROWS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEAD}\nc10,a,97,2,3\n", "row 2 has 5 fields, but the header has 4"),
        (f"{HEAD}\nc10,a,97.2,3\nc10,b,97,3,3,1\n", "row 3 has 6 fields"),
        (f"{HEAD}\nc10,a,97,31,\n", "is 97,31 a number with a decimal comma"),
        (f"{HEAD}\nc10,a,97.5,3\nc10,b,97,31,\n", "row 3 has 5 fields.*is 97,31 a number"),
        (f"{HEAD}\nc10,a,97.5,3\n\n\nc10,b,97\n", "row 5 has 3 fields"),
        (f"{HEAD}\nc10,a\n", "row 2 has 2 fields"),
        ("target;strategy;top1\nc10;a;97;5\n", "row 2 has 4 fields, but the header has 3"),
        (f'{HEAD}\nc10,a,"97,5",3.1\n', "decimal point.*params: 3.1.*decimal comma.*top1: 97,5"),
        (f'{HEAD}\nc10,a,97,"3,300"\n', "params is '3,300'; write it without a comma"),
        (f'{HEAD}\nc10,a,97,"3,300,000"\n', "params is '3,300,000'; allowed"),
        ("target,,strategy,top1\nc10,5,a,97\n", "column 2 has no name, but row 2 has a value"),
        (f'{HEAD}\nc10,"a,97,2\nc10,b,97,2\n', "line 3: unexpected end of data"),
        (f'{HEAD}\nc10,"a"b,97,2\n', "line 2: ',' expected"),
        (f"{HEAD}\nc10,a\0,97,2\n", "null bytes"),
        (f"{HEAD}\nc10,é,97,2\n".encode("latin-1"), "not text in UTF-8"),
        ("target,strategy,method,arm,top1\nc10,a,b,random,97\n", "columns 'method' and 'strategy' beside"),
        (f"{HEAD},parameter_free_share\nc10,a,97,2,37\n", "parameter_free_share is '37'; allowed: 0 to 1"),
        (f"{HEAD},top5\nc10,a,97,2,0.99\n", "row 2: top5 is 0.99, which is below its top1 of 97"),
    ],
)
def test_a_table_whose_columns_may_be_shifted_is_refused_with_its_row(read, text, message):
    with pytest.raises(UserError, match=f"table.csv: .*{message}"):
        read(text)


def test_how_a_file_was_understood_is_said(read):
    assert read("target;strategy;top1\nc10;a;97\n")[1] == [f"{SEMICOLONS}."]
    assert read("target;strategy;top1\nc10;a;97,5\n")[1] == [f"{SEMICOLONS} and decimal commas."]


COLUMNS = ("target", "protocol", "strategy", "source", "source_top1", "top1", "top5")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("c10", "", "a", "", "", 97), ("c10", "", "random", "", "", 0.96)],
            "row 2: top1 is 97, row 3: .* 0.96",
        ),
        ([("c10", "", "a", "", "", 0.97), ("c10", "", "a", "", "", 96)], "row 3: top1 is 96, row 2: .* 0.97"),
        ([("c10", "", "a", "", "", 97), ("imagenet", "", "a", "", "", 0.75)], "row 3: top1 is 0.75"),
        ([("c10", "p", "a", "", "", 97), ("c10", "q", "a", "", "", 0.75)], "row 3: top1 is 0.75"),
        (
            [("c10", "", "a", "s", 0.9, 97), ("c10", "", "a", "s", 91, 97)],
            "row 3: source_top1 is 91, row 2: .* 0.9",
        ),
        ([("c10", "", "a", "s", 0.9, 97)], "row 2: top1 is 97, row 2: source_top1 is 0.9"),
    ],
)
def test_percent_and_fractions_together_are_refused_with_two_rows(rows, message):
    frame = pd.DataFrame(rows, columns=list(COLUMNS[:6]))
    with pytest.raises(UserError, match=message):
        reading.check(frame)


@pytest.mark.parametrize(
    "rows",
    [
        [("imagenet", "", "a", "", "", 74, ""), ("imagenet", "", "b", "", "", 0.1, "")],
        [("c100", "", "a", "", "", 74, 93), ("c100", "", "b", "", "", 0.98, 5)],
        [("imagenet", "", "a", "", "", 1.5, ""), ("imagenet", "", "b", "", "", 0.9, "")],
        [("c10", "", "a", "", "", 97, ""), ("c10", "", "b", "", "", 0, "")],
        [("c10", "", "a", "", "", "97%", ""), ("c10", "", "b", "", "", "0.97%", "")],
    ],
)
def test_a_network_that_has_learned_nothing_is_no_fraction(rows):
    checked, _ = reading.check(pd.DataFrame(rows, columns=list(COLUMNS)))
    assert len(checked) == 2


def short(*methods):
    lines = [
        f"{target},{method},{arm},{run},{90 + run / 7}"
        for method in methods
        for target in ("c10",)
        for arm in ("searched", "random")
        for run in range(3)
    ]
    return "target,method,arm,run,top1\n" + "\n".join(lines)


@pytest.mark.parametrize(
    "name", ["random", "β-DARTS", "Re\u0301seau", "a 'quoted' name", '"a ""b"" c"', "\\", "{}"]
)
def test_a_method_of_any_name_is_compared_with_its_own_random_cells(read, tmp_path, name):
    rows, _ = read(short(name, "darts"))
    again = tmp_path / "again.csv"
    csv_file.write(rows, again)
    pd.testing.assert_frame_equal(reading.read(again)[0], rows)
    compared = Findings(rows, AnalysisOptions(replicates=1000)).improvement
    assert len(compared) == 2
    assert compared["n"].tolist() == compared["n_random"].tolist() == [3, 3]


def test_blanks_and_unicode_forms_make_no_other_method_and_detach_no_random_rows(read):
    text = short("Réseau").replace("Réseau,random", "Re\u0301seau\u00a0, Random ").replace("c10", " c10\t", 1)
    rows, notes = read(text)
    compared = Findings(rows, AnalysisOptions(replicates=1000)).improvement
    assert compared[["strategy", "n", "n_random"]].values.tolist() == [["Réseau", 3, 3]]
    assert notes == []


def test_names_that_differ_in_case_are_pointed_out(read):
    _, notes = read("target,strategy,top1\nc10,Random,97\nc10,darts,97\nc10,DARTS,97\n")
    assert notes == ["Names that differ in upper and lower case are different strategies: DARTS, darts."]


@pytest.mark.parametrize(
    "frame",
    [
        {"strategy": ["a (b=1)", "a"], "strategy_options": ["", '{"b": 1}']},
        {"strategy": ["a", "a"], "source": ["s / p", "s"], "proxy": ["", "p"]},
        {"strategy": ["a", "a"], "target": ["t, protocol p", "t"], "protocol": ["", "p"]},
    ],
)
def test_different_rows_that_a_report_would_call_the_same_are_refused(frame):
    with pytest.raises(UserError, match=r"row 2 and row 3 are of different .* rename one"):
        reading.check(pd.DataFrame({"target": "t", "top1": [97, 96], **frame}))


def test_a_setting_has_the_shortest_name_that_no_other_has():
    frame = pd.DataFrame(
        {
            "target": ["digits", "c10", "c10", "c10", "svhn"],
            "protocol": ["digits", "p", "p", "q", ""],
            "protocol_hash": ["b918", "1", "2", "3", ""],
            "strategy": "a",
            "top1": 90.0,
        }
    )
    names = [setting.name for setting, _ in table.settings(reading.check(frame)[0])]
    expected = [
        "digits, protocol digits",
        "c10, protocol p 1",
        "c10, protocol p 2",
        "c10, protocol q",
        "svhn",
    ]
    assert names == expected


NAMES = st.text(st.characters(codec="utf-8"), min_size=1).map(clean).filter(bool)


@given(st.lists(NAMES | st.sampled_from(["=1+1", "-x", "@a", "'=x", "''a", "\u200b=1", "+5"]), min_size=1))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_field_is_a_formula_and_all_are_read_back(tmp_path, names):
    path = tmp_path / "names.csv"
    names = [clean(name) for name in names]
    csv_file.write(pd.DataFrame({"target": names, "search_score": -1.0}), path)
    raw, _ = csv_file.read(path, meanings, ["search_score"], [])
    assert raw["target"].tolist() == names
    for field in pd.read_csv(path, dtype=str, keep_default_na=False)["target"]:
        assert field[0] not in FORMULA_STARTS or NUMBER.fullmatch(field)


FIELD = st.one_of(
    st.text(max_size=8),
    st.floats(0, 100).map(str),
    st.sampled_from(
        ["random", "searched", "darts", "97,5", "97.5", "0.97", "0", "", " ", '"', "=1", '{"space":"a"}']
    ),
)
OTHERS = ("Algorithm", "dataset", "Acc (%)", "test_err", "error", "metric", "value", "seed")
NAMES_OF_COLUMNS = (*table.COLUMNS, *forms.SHORT, *OTHERS, "", "other")
HEADER = st.lists(st.sampled_from(NAMES_OF_COLUMNS), min_size=1, max_size=8)
FULL = st.tuples(st.sampled_from("ab"), st.sampled_from(["a", "random"]), st.floats(2, 100).map(str) | FIELD)


def lines(delimiter, header, rows, end):
    return end.join(delimiter.join(fields) for fields in [header, *rows])


TABLES = (
    st.one_of(
        st.builds(
            lines,
            st.sampled_from(",;\t"),
            HEADER,
            st.lists(st.lists(FIELD, min_size=1, max_size=9), max_size=6),
            st.sampled_from(["\n", "\r\n", "\r"]),
        ),
        st.builds(
            lines,
            st.sampled_from(",;"),
            st.just(["target", "strategy", "top1"]),
            st.lists(FULL),
            st.just("\n"),
        ),
        st.text(),
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary()
)


def read_or_refuse(path, content):
    """What is read keeps every row with a top1, and is read again from the file that a report writes."""
    path.write_bytes(content)
    try:
        rows, notes = reading.read(path)
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        return
    raw, _ = csv_file.read(path, meanings, table.NUMBERS, reading.PERCENT)
    left_out = [int(note.split()[-1].rstrip(".")) for note in notes if note.startswith("Rows left out")]
    if "metric" not in meanings(list(raw.columns)).values():
        assert len(raw) == len(rows) + sum(left_out)
    csv_file.write(rows, path)
    pd.testing.assert_frame_equal(reading.read(path)[0], rows)


@given(TABLES)
@example(b"target,strategy,top1\na,random,1" + b"0" * 5000)
@example(b"target,strategy,strategy_options,top1\na,b," + b"[" * 5000 + b",97")
@example(b'target,strategy,strategy_options,top1\na,b,"{""a"": ' + b"9" * 5000 + b'}",97')
@example(b'target,strategy,top1\n"' + b"a" * 200_000 + b'",b,97')
@example(b"method,method,arm")
@example(b"metric,metric,value\na,b,1")
@example(b"target,top1,top1\na,97,97,0")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_whole_or_refused(tmp_path, content):
    read_or_refuse(tmp_path / "table.csv", content)


@pytest.mark.slow
@given(TABLES)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_files_are_read_whole_or_refused(tmp_path, content):
    read_or_refuse(tmp_path / "table.csv", content)
