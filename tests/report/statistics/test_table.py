import json

import numpy as np
import pandas as pd
import pytest

from nastransfer_nni.report.statistics import reading, table
from search_spaces.errors import UserError
from tests.report.statistics.studies import study

SHORT = (
    "target,method,arm,run,top1\nc10,darts,searched,0,97.0\nc10,darts,random,0,96.5\nc10,enas,random,0,95.0\n"
)


def read(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return reading.read(path)


def test_a_full_table_comes_back_from_its_csv(tmp_path):
    rows, notes = reading.check(study())
    rows.to_csv(tmp_path / "results.csv", index=False)
    again, notes_again = reading.read(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(rows, again)
    assert tuple(rows.columns) == table.COLUMNS
    assert notes == notes_again == []


@pytest.mark.parametrize(
    ("strategy", "options", "name"),
    [
        ("darts", '{"order":2}', "darts (order=2)"),
        ("score", '{"batches":1}', "score (by=nwot, batches=1)"),
        ("score", '{"batches":1,"by":"swap"}', "score (by=swap, batches=1)"),
        ("score", "", "score"),
        ("my.own:Strategy", '{"by":"a"}', "my.own:Strategy (by=a)"),
    ],
)
def test_a_label_names_the_score_by_which_a_search_chooses(strategy, options, name):
    assert table.label(strategy, options) == name


def test_a_short_table_becomes_a_full_one_that_keeps_each_methods_own_random_cells(tmp_path):
    rows, _ = read(tmp_path, SHORT)
    assert rows["strategy"].tolist() == ["darts", "random", "random"]
    assert table.baseline_of(rows, "darts")["top1"].tolist() == [96.5]
    assert table.baseline_of(rows, "enas")["top1"].tolist() == [95.0]
    rows.to_csv(tmp_path / "full.csv", index=False)
    again, _ = reading.read(tmp_path / "full.csv")
    pd.testing.assert_frame_equal(rows, again)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target,strategy\nc10,darts\n", "'top1' is missing"),
        ("target,method,arm,run,top1\nc10,darts,serched,0,97\n", "did you mean 'searched'"),
        ("target,strategy,top1\nc10,darts,97\nc10,darts,high\n", "row 3: top1 is 'high'; allowed: 0 to 100"),
        ("target,strategy,top1\nc10,darts,970\n", "row 2: top1 is '970'"),
        ("target,strategy,top1,params\nc10,darts,97,-1\n", "row 2: params is '-1'; allowed: 0 or more"),
        ("target,strategy,top1\nc10,,97\n", "row 2 has no strategy"),
        ("target,strategy,top1\nc10,a,\n", "no row with a top1"),
        ("target,strategy,top1\n", "no row with a top1"),
        ("target,strategy,top1\nc10,a,97\nc10,b,inf\n", "row 3: top1 is 'inf'"),
        ("target,strategy,top1,train_seconds\nc10,a,97,inf\n", "row 2: train_seconds is 'inf'"),
        ("target,strategy,top1,top1 \nc10,a,97,96\n", "column 'top1' occurs more than once"),
        ("target,strategy,top1\nc10,a,97,1\nc10,b,96,2\n", "row 2 has 4 fields, but the header has 3"),
        ("target,strategy,top1\nc10,a,97\nc10,b,96,2\n", "row 3 has 4 fields"),
        ("", "cannot be read"),
        (
            "target,strategy,search_seed,train_seed,top1\nc10,a,0,0,97\nc10,a,1,0,97\nc10,a,0,0,96\n",
            "rows 2 and 4 are the same run",
        ),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "table.csv" in str(error.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"target,strategy,top1\n\xff\xfe,a,90\n")
    with pytest.raises(UserError, match="cannot be read as a CSV table"):
        reading.read(path)


def test_rows_without_a_result_and_columns_without_use_are_named(tmp_path):
    rows, notes = read(tmp_path, "target,strategy,top1,mood\nc10,a,97,good\nc10,a,,bad\n")
    assert len(rows) == 1
    assert notes == [
        "Columns that the report does not use: mood.",
        "Rows left out because they have no top1: 1.",
    ]


def test_options_make_another_strategy_however_they_are_written():
    rows, _ = reading.check(
        pd.DataFrame(
            {
                "target": "t",
                "strategy": "darts",
                "strategy_options": ['{"b": 1, "a": "x"}', '{"a":"x","b":1}', "{}", None],
                "top1": [90.0, 91.0, 92.0, 93.0],
            }
        )
    )
    assert rows["strategy_options"].tolist() == ['{"a":"x","b":1}'] * 2 + ["", ""]
    assert table.label("darts", rows["strategy_options"][0]) == "darts (a=x, b=1)"


def test_random_search_is_no_baseline():
    frame = study(random_cells=3)
    frame.loc[frame["strategy"] == "random", "strategy_options"] = [json.dumps({"candidates": 10}), "", ""]
    rows, _ = reading.check(frame)
    assert table.is_baseline(rows).sum() == 2
    assert len(table.baseline_of(rows, "darts")) == 2


def test_a_random_cell_that_several_proxies_list_counts_once():
    frame = study(random_cells=3, trainings=2)
    random = frame[frame["strategy"] == "random"]
    rows, _ = reading.check(pd.concat([frame, random.assign(proxy="images:0.1")]))
    assert len(table.baseline_of(rows, "darts")) == len(random) == 6


def test_targets_and_protocols_are_kept_apart():
    frame = study(targets=("a", "b"))
    frame.loc[frame.index[::2], "protocol_hash"] = "other"
    rows, _ = reading.check(frame)
    parts = list(table.settings(rows))
    assert len(parts) == 4
    assert sum(len(part) for _, part in parts) == len(rows)
    assert all(np.ptp(pd.factorize(part["protocol_hash"])[0]) == 0 for _, part in parts)
