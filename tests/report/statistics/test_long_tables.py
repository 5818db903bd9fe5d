"""Long tables as people have them: their names of columns, units, metrics and baselines."""

import pandas as pd
import pytest

import strategies
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.baseline import NONE, describe, find_baseline
from nastransfer_nni.report.statistics.column_names import ALIASES, MEANINGS, meanings, parse
from nastransfer_nni.report.statistics.forms import ReadOptions
from search_spaces.errors import UserError


@pytest.fixture
def understand(tmp_path):
    def understand(text, columns="", **options):
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        return reading.understand(path, ReadOptions(columns=parse(columns), **options))

    return understand


RUNS = [("c10", "darts", 97.25), ("c10", "random", 96.0)]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("dataset,method,acc\nc10,darts,97.25\nc10,random,96\n", {}),
        ("Task,Algorithm,Top-1 (%)\nc10,darts,97.25\nc10,random,96\n", {}),
        ("\ufeffData set;Model;Test Acc.\nc10;darts;0,9725\nc10;random;0,96\n", {}),
        ("dataset,algo,error\nc10,darts,2.75\nc10,random,4\n", {}),
        ("dataset,algo,Test_Err\nc10,darts,0.0275\nc10,random,0.04\n", {}),
        ("dataset,algo,acc@1,val_acc\nc10,darts,97.25,91\nc10,random,96,90\n", {}),
        ("algo,top1\ndarts,97.25\nrandom,96\n", {"target": "c10"}),
        ("a,b,c\nc10,darts,97.25\nc10,random,96\n", {"columns": "target=a,strategy=b,top1=c"}),
        ("dataset,algo,x,acc\nc10,darts,2.75,9\nc10,random,4,8\n", {"columns": "error=x"}),
        ("dataset,algo,metric,value\nc10,darts,loss,1\nc10,darts,acc,97.25\nc10,random,acc,96\n", {}),
        (
            "dataset,algo,metric,value\nc10,darts,a,97.25\nc10,darts,b,1\nc10,random,a,96\n",
            {"metric": "a"},
        ),
    ],
)
def test_tables_of_any_names_and_units_are_read_as_the_same_runs(understand, text, options):
    rows = understand(text, **options).rows
    assert list(rows[["target", "strategy", "top1"]].itertuples(index=False, name=None)) == RUNS


def test_what_was_understood_is_said(understand):
    text = "Dataset;Algorithm;Seed;Err\nc10;darts;0;0,03\nc10;darts;0;0,03\nc10;Random;1;0,04\n"
    read = understand(text)
    assert "; ".join(read.meaning) == (
        "2 rows; target = Dataset: c10; strategy = Algorithm: darts, Random; top1 = 1 - Err, as fractions; "
        "search_seed = Seed"
    )
    assert read.notes == [
        "Read as a table with semicolons between its fields and decimal commas.",
        "Rows left out because they list a run again: 1.",
    ]
    assert describe(read.rows, find_baseline(read.rows)) == "compared with Random: 1 row"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("dataset,algo,err\nc10,a,3\nc10,b,0.04\n", {}, "row 2: err is 3, row 3: err is 0.04"),
        ("dataset,algo,acc\nc10,a,97\nc10,b,0.9\n", {"unit": "fraction"}, "acc is 97; write all"),
        ("dataset,algo,acc\nc10,a,970\n", {}, "row 2: acc is '970'"),
        ("algo,acc\na,97\n", {}, "'target' is missing; the table has algo, acc; .*--target"),
        ("dataset,what,acc\nc10,a,97\n", {}, "'strategy' is missing; .* --columns strategy=NAME"),
        ("dataset,algo,acc\nc10,a,97\n", {"columns": "top1=ac"}, "unknown column 'ac'.*did you mean 'acc'"),
        ("dataset,algo,metric,value\nc10,a,x,1\nc10,a,y,2\n", {}, "several metrics .x, y.; choose one by"),
        ("dataset,algo,metric,value\nc10,a,acc,1\n", {"metric": "ac"}, "did you mean 'acc'"),
        ("dataset,algo,acc\nc10,a,97\n", {"metric": "acc"}, "no column that names a metric"),
    ],
)
def test_what_cannot_be_understood_is_refused(understand, text, options, message):
    with pytest.raises(UserError, match=message):
        understand(text, **options)


def test_options_of_an_earlier_version_get_their_names_of_today(understand):
    text = 'target,strategy,strategy_options,top1\nt,random,"{""samples"": 300}",97\nt,random,,96\n'
    rows = understand(text, upgrade=strategies.upgrade_options).rows
    assert rows["strategy_options"].tolist() == ['{"candidates":300}', ""]


@pytest.mark.parametrize("text", ["strategy", "strategy=", "=acc"])
def test_columns_are_pairs(text):
    with pytest.raises(UserError, match="give pairs"):
        parse(text)
    with pytest.raises(UserError, match="did you mean 'strategy'"):
        parse("strategi=a")


def test_no_name_of_a_column_has_two_meanings():
    names = [name for aliases in ALIASES.values() for name in aliases]
    assert len(set(names)) == len(names)
    for meaning, aliases in ALIASES.items():
        assert not set(aliases) & (set(MEANINGS) - {meaning})


def test_a_test_accuracy_comes_before_others_and_a_column_of_our_own_before_all():
    header = ["val_acc", "accuracy", "test_err", "test_acc"]
    assert meanings(header) == {"test_acc": "top1", "test_err": "error"}
    assert meanings([*header, "TOP1"])["TOP1"] == "top1"
    assert "score" not in meanings(["score"])


@pytest.mark.parametrize(
    ("names", "name", "baseline"),
    [
        (["darts", "random"], "", "random"),
        (["darts", "Random"], "", "Random"),
        (["darts", "enas"], "", ""),
        (["darts", "random"], NONE, ""),
        (["darts", "enas"], "enas", "enas"),
        (["darts", "random"], "random", "random"),
    ],
)
def test_the_baseline_is_found_or_named(names, name, baseline):
    rows, _ = reading.check(pd.DataFrame({"target": "t", "strategy": names, "top1": [90.0, 91.0]}))
    assert find_baseline(rows, name) == baseline


def test_a_baseline_may_have_options_and_must_be_in_the_table():
    frame = {"target": "t", "strategy": ["a", "a", "b"], "strategy_options": ["", '{"x":1}', '{"y":2}']}
    rows, _ = reading.check(pd.DataFrame({**frame, "top1": 90.0}))
    assert find_baseline(rows, "a (x=1)") == "a (x=1)"
    assert find_baseline(rows, "b") == "b (y=2)"
    assert find_baseline(rows, "a") == "a"
    with pytest.raises(UserError, match="did you mean"):
        find_baseline(rows, "a (x=2)")
