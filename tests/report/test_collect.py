import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base.files import write_json
from nastransfer_nni.report import collect
from nastransfer_nni.report.statistics import reading, table
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
    for name, command in (("search", "search"), ("hydra", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"command: {command}\n")
    rows, notes, provenance, missing, *_ = collect.collect(tmp_path)
    assert missing == "1 search interrupted, 1 transfer failed"
    assert notes == [f"Runs left out because they are not finished: {missing}."]
    assert rows["run"].tolist() == ["a/one", "a/two"]
    one, two = rows.to_dict("records")
    assert (one["strategy"], one["strategy_options"]) == ("darts", '{"order":2}')
    assert (one["proxy_seed"], one["search_seed"], one["train_seed"], one["top1"]) == ("7", "3", "0", 91.5)
    assert (two["strategy"], two["source"], two["search_seed"]) == ("DARTS_V2", "", "")
    assert provenance["a/one"]["fingerprints"] == ["abc"]


LONG_NUMBER = '{"status": %s}' % ("9" * 5000)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", ""),
        ("summary.json", "[]"),
        ("summary.json", '{"top1": 90}'),
        ("summary.json", '{"top1": 970, "target": "digits"}'),
        ("summary.json", '{"top1": true, "target": "digits"}'),
        ("summary.json", '{"top1": 90, "target": ["digits"]}'),
        ("summary.json", '{"top1": NaN, "target": "digits", "params": -1}'),
        ("summary.json", LONG_NUMBER),
        ("summary.json", "[" * 100_000),
        ("architecture.json", None),
        ("architecture.json", ""),
        ("architecture.json", "\xff"),
        ("architecture.json", "{}"),
        ("architecture.json", LONG_NUMBER),
        ("architecture.json", architecture_json(found_by="me")),
        ("architecture.json", architecture_json(found_by={"options": [1]})),
        ("architecture.json", architecture_json(found_by={"strategy": {}})),
        ("architecture.json", architecture_json(genotype={})),
        ("status.json", "{"),
        ("status.json", ""),
        ("status.json", '{"status": "done"}'),
        ("status.json", LONG_NUMBER),
        ("config.yaml", ""),
        ("config.yaml", "command: ["),
        ("config.yaml", "[" * 10_000),
        ("config.yaml", "\xff"),
        ("config.yaml", None),
        ("metrics.jsonl", '{"step": 1}\n{"step'),
        ("metrics.jsonl", "\xff\n"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(tmp_path, file, content):
    write_run(tmp_path, "good")
    damaged = write_run(tmp_path, "damaged", train_seed=1)
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_text(content, encoding="latin-1")
    rows, notes, provenance, missing, *_ = collect.collect(tmp_path)
    assert rows["run"].tolist() == list(provenance) == ["good"]
    assert missing == "1 damaged"
    assert len(notes) == 1
    assert notes[0].startswith(f"Damaged runs left out: damaged ({file}")


FILES = (
    "config.yaml",
    "status.json",
    "summary.json",
    "architecture.json",
    "metrics.jsonl",
    "provenance.json",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("9" * 5000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def damage(path, data):
    """Change a byte, cut the file short, or give one of its entries another value."""
    content = path.read_bytes() if path.exists() else b"{}"
    kind = data.draw(st.sampled_from(["entry", "cut", "byte", "other"]))
    if kind == "entry":
        value = json.loads(content)
        at = value if data.draw(st.booleans()) else value.get("found_by", value)
        at[data.draw(st.sampled_from([*at, "found_by", "versions", "continued"]))] = data.draw(VALUES)
        content = json.dumps(value).encode()
    elif kind == "other":
        content = data.draw(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
    else:
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + (data.draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :]) * (
            kind == "byte"
        )
    path.write_bytes(content)


def good_and_damaged(data):
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_run(root, "good")
        damage(write_run(root, "damaged", found_by=FOUND_BY) / data.draw(st.sampled_from(FILES)), data)
        found = collect.collect(root)
        write_json(root / "provenance.json", found.provenance)  # whatever the files hold, it can be written
        assert "good" in set(found.rows["run"])
        assert len(found.rows) == 2 or found.missing


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_damage_to_a_run_ends_the_report_of_others(data):
    good_and_damaged(data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=500, deadline=None)
def test_no_damage_of_many_ends_the_report_of_others(data):
    good_and_damaged(data)


def test_a_run_whose_options_are_damaged_is_called_by_its_folder(tmp_path):
    write_run(tmp_path, "odd")
    (tmp_path / "odd" / "config.yaml").write_text("command: transfer\noptions: [1]\nversions: 3\n")
    rows, _, provenance, missing, *_ = collect.collect(tmp_path)
    assert rows["strategy"].tolist() == ["odd"]
    assert provenance == {"odd": {"fingerprints": []}}
    assert missing == ""


def test_cells_of_one_name_are_different_strategies_and_no_file_is_the_random_baseline(tmp_path):
    cells = {"a": "DARTS_V2", "b": "PC_DARTS_cifar", "c": "DARTS_V2", "d": "DARTS_V1"}
    files = {"a": "pa/genotype.txt", "b": "pb/genotype.txt", "c": "pc/genotype.txt", "d": "random.txt"}
    for name, cell in cells.items():
        folder = write_run(tmp_path, name, train_seed=ord(name))
        config = {"command": "transfer", "options": {"arch": f"/home/someone/{files[name]}"}}
        (folder / "config.yaml").write_text(json.dumps(config))
        Architecture(zoo()[cell].genotype, name).write(folder / "architecture.json")
    rows, notes, *_ = collect.collect(tmp_path)
    assert rows["strategy"].tolist() == ["genotype"] * 3 + ["random"]
    options = dict(zip(rows["run"], rows["strategy_options"], strict=True))
    assert options["a"] == options["c"] != options["b"]
    assert not table.is_baseline(rows).any()
    assert notes == ["Different cells have the name genotype, random; the option cell tells them apart."]


def test_a_copied_run_counts_once_and_one_with_another_result_is_refused(tmp_path):
    for name in ("one", "copy"):
        write_run(tmp_path, name, found_by=FOUND_BY)
    rows, notes, *_ = collect.collect(tmp_path)
    assert rows["run"].tolist() == ["copy"]
    assert notes == ["Rows left out because they list a run again: 1."]
    write_run(tmp_path, "other", found_by=FOUND_BY, top1=80.0)
    with pytest.raises(UserError, match=r"runs copy and other are the same run .* with different results"):
        collect.collect(tmp_path)


@pytest.mark.parametrize(
    ("command", "portable"),
    [
        ("python /opt/env/bin/nastransfer transfer --arch DARTS_V2", "nastransfer transfer --arch DARTS_V2"),
        ("python -m x --out {root}/a --config=/etc/my/x.yml", "python -m x --out a --config=x.yml"),
        ("python -m x --target 'folder:/data/my images'", "python -m x --target 'folder:my images'"),
        ("python -m x ../a ./b c/d https://a.b/c", "python -m x ../a ./b c/d https://a.b/c"),
        ("python -m x 'it", "python -m x ''\"'\"'it'"),
    ],
)
def test_the_provenance_of_runs_has_no_paths_of_the_machine(tmp_path, command, portable):
    folder = write_run(tmp_path, "a")
    config = {"command": "transfer", "command_line": command.format(root=tmp_path), "at": "t", "host": "h"}
    config["continued"] = [{"command_line": command.format(root=tmp_path)}]
    (folder / "config.yaml").write_text(json.dumps(config))
    found = collect.collect(tmp_path).provenance["a"]
    assert found["command_line"] == found["continued"][0]["command_line"] == portable


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
    rows = collect.collect(tmp_path).rows
    assert rows["strategy_options"].tolist() == ['{"alpha_lr":0.001}'] * 2


def test_a_folder_without_finished_transfers_is_refused(tmp_path):
    write_run(tmp_path, "a", status="failed")
    with pytest.raises(UserError, match=r"no finished transfer below .* \(1 transfer failed\)"):
        collect.collect(tmp_path)


def test_searches_with_different_settings_are_different_strategies(tmp_path):
    for name, found in {
        "a": {"setting": {"epochs": 5, "width": 4}, "search_samples": 10},
        "b": {"setting": {"epochs": 9, "width": 4}, "search_samples": 10},
        "c": {"setting": {"epochs": 9, "width": 4}, "search_samples": 0},
    }.items():
        write_run(tmp_path, name, found_by={"strategy": "darts", "seed": name, **found})
    rows = collect.collect(tmp_path).rows
    assert rows["strategy_options"].tolist() == ['{"epochs":5}', '{"epochs":9}', ""]


def results(*rows):
    columns = ("target", "protocol_hash", "strategy", "source", "search_seed", "train_seed", "top1")
    return reading.check(pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows]))[0]


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


PLAN = {
    "format": "nastransfer-study",
    "version": 1,
    "margin": "0.5%",
    "primary": "mean",
    "looks": [],
    "units": 3,
    "random_units": 8,
    "jobs": [
        {"name": "a", "kind": "search", "folder": "searches/a"},
        {"name": "b", "kind": "transfer", "folder": "transfers/b"},
        {"name": "c", "kind": "transfer", "folder": "transfers/c"},
    ],
}


def test_jobs_of_a_study_that_never_started_are_missing(tmp_path):
    write_run(tmp_path, "transfers/b")
    (tmp_path / "study.json").write_text(json.dumps(PLAN))
    found = collect.collect(tmp_path)
    assert found.missing == "1 search never started, 1 transfer never started"
    assert not found.is_complete
    assert found.plan.margin == "0.5%"
    write_run(tmp_path, "transfers/c", train_seed=1)
    assert collect.collect(tmp_path).is_complete


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged; restore it from a copy"),
        ('{"format": "nastransfer-study"}', "`study run` on the study's file writes it again"),
        ('{"format": "nastransfer-study", "jobs": 3}', "`study run` on the study's file writes it again"),
    ],
)
def test_a_damaged_plan_of_a_study_is_refused(tmp_path, content, message):
    write_run(tmp_path, "transfers/b")
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(UserError, match=rf"study\.json .*{message}"):
        collect.collect(tmp_path)
