import json

import pandas as pd
import pytest

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.report import collect
from nastransfer_nni.report.statistics import table
from search_spaces.errors import UserError
from search_spaces.zoo import zoo
from tests.report.pages import make_from, read

FOUND_BY = {
    "strategy": "darts",
    "source": "digits",
    "proxy": "classes:5",
    "seed": 3,
    "options": {"order": 2, "proxy_seed": 7},
    "search_seconds": 5.0,
    "data": {"fingerprint": "abc"},
}


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
    metrics = {"top1": 90.0, "top5": 99.0, "params": 10, "mult_adds": 20, "target": "digits", "train_seed": 0}
    (folder / "summary.json").write_text(
        json.dumps(metrics | {"protocol": "p", "protocol_hash": "h"} | summary)
    )
    Architecture(zoo()["DARTS_V2"].genotype, name, found_by or {}).write(folder / "architecture.json")
    return folder


def architecture_json(**changes):
    return json.dumps(Architecture(zoo()["DARTS_V2"].genotype, "").to_dict() | changes)


def test_finished_transfers_below_a_folder_become_rows(tmp_path):
    write_run(tmp_path, "a/one", found_by=FOUND_BY, top1=91.5)
    write_run(tmp_path, "a/two")
    write_run(tmp_path, "b/three", status="failed")
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "config.yaml").write_text("command: search\n")
    rows, notes, provenance = collect.collect(tmp_path)
    assert notes == ["Runs left out: 1 failed."]
    assert rows["run"].tolist() == ["a/one", "a/two"]
    one, two = rows.to_dict("records")
    assert (one["strategy"], one["strategy_options"]) == ("darts", '{"order":2}')
    assert (one["proxy_seed"], one["search_seed"], one["train_seed"], one["top1"]) == ("7", "3", "0", 91.5)
    assert (two["strategy"], two["source"], two["search_seed"]) == ("DARTS_V2", "", "")
    assert provenance["a/one"]["fingerprints"] == ["abc"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", "[]"),
        ("summary.json", '{"top1": 90}'),
        ("architecture.json", None),
        ("architecture.json", "\xff"),
        ("architecture.json", "{}"),
        ("architecture.json", architecture_json(found_by="me")),
        ("architecture.json", architecture_json(found_by={"options": [1]})),
        ("architecture.json", architecture_json(genotype={})),
        ("status.json", "{"),
        ("config.yaml", "command: transfer\noptions: [1]\n"),
    ],
)
def test_a_damaged_run_is_left_out_or_read_without_what_it_lacks(tmp_path, file, content):
    write_run(tmp_path, "good")
    damaged = write_run(tmp_path, "damaged", train_seed=1)
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_text(content, encoding="latin-1")
    rows, notes, provenance = collect.collect(tmp_path)
    if file == "config.yaml":  # says where the architecture came from, which the folder's name replaces
        assert rows["strategy"].tolist() == ["damaged", "DARTS_V2"]
    else:
        assert rows["run"].tolist() == list(provenance) == ["good"]
        assert notes in (["Runs left out: 1 damaged."], ["Runs left out: 1 interrupted."])


def test_a_report_of_runs_links_to_them_and_keeps_their_provenance(tmp_path):
    for seed in range(3):
        write_run(tmp_path, f"runs/{seed}", found_by=FOUND_BY | {"seed": seed}, top1=90.0 + seed)
    out = make_from(tmp_path / "runs", tmp_path / "out")
    assert "../runs/2" in read(out).links
    assert json.loads((out / "provenance.json").read_text())["runs"]["2"]["command_line"] == "python -m x"
    again = make_from(out / "results.csv", tmp_path / "again")
    assert json.loads((again / "provenance.json").read_text())["runs"]["2"]["fingerprints"] == ["abc"]


def test_runs_of_version_0_1_have_todays_names_of_options(tmp_path):
    for version, option in ((1, "alpha_learning_rate"), (2, "alpha_lr")):
        found_by = {"strategy": "darts", "seed": version, "options": {option: 0.001}}
        path = write_run(tmp_path, str(version), found_by=found_by) / "architecture.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    rows, _, _ = collect.collect(tmp_path)
    assert rows["strategy_options"].tolist() == ['{"alpha_lr":0.001}'] * 2


def test_a_folder_without_finished_transfers_is_refused(tmp_path):
    write_run(tmp_path, "a", status="failed")
    with pytest.raises(UserError, match=r"no finished transfer below .* \(1 failed\)"):
        collect.collect(tmp_path)


def test_searches_with_different_settings_are_different_strategies(tmp_path):
    for name, found in {
        "a": {"setting": {"epochs": 5, "width": 4}, "search_samples": 10},
        "b": {"setting": {"epochs": 9, "width": 4}, "search_samples": 10},
        "c": {"setting": {"epochs": 9, "width": 4}, "search_samples": 0},
    }.items():
        write_run(tmp_path, name, found_by={"strategy": "darts", "seed": name, **found})
    rows, _, _ = collect.collect(tmp_path)
    assert rows["strategy_options"].tolist() == ['{"epochs":5}', '{"epochs":9}', ""]


def results(*rows):
    columns = ("target", "protocol_hash", "strategy", "source", "search_seed", "train_seed", "top1")
    return table.check(pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows]))[0]


def test_the_source_accuracy_of_a_cell_is_the_mean_of_its_trainings_there():
    frame = results(
        ("cifar100", "p", "darts", "cifar10", 0, 0, 70.0),
        ("cifar100", "p", "darts", "cifar10", 1, 0, 71.0),
        ("cifar10", "q", "darts", "cifar10", 0, 0, 92.0),
        ("cifar10", "q", "darts", "cifar10", 0, 1, 94.0),
        ("cifar100", "p", "enas", "cifar10", 0, 0, 72.0),
    )
    source = collect._source_top1(frame)
    assert source[0] == 93.0
    assert source[1:].isna().all()  # another cell, the rows on the source itself, another strategy


def test_trainings_under_two_protocols_are_not_pooled():
    frame = results(
        ("cifar100", "p", "darts", "cifar10", 0, 0, 70.0),
        ("cifar10", "q", "darts", "cifar10", 0, 0, 92.0),
        ("cifar10", "r", "darts", "cifar10", 0, 0, 80.0),
    )
    assert collect._source_top1(frame).isna().all()
