"""A whole small study on the digits: run, killed and run again, begun by version 0.1, broken and reported."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nastransfer_nni.report.collect import collect
from nastransfer_nni.study.config import TableConfig
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.run import write_table
from nastransfer_nni.study.status import job_status, overview

TINY = {
    "name": "tiny",
    "strategies": ["random_ws:candidates=2,batches=1,finalists=1"],
    "sources": ["digits"],
    "proxies": ["classes:2"],
    "search_seeds": [0],
    "random_cells": 2,
    "targets": ["digits"],
    "search": {"epochs": 1, "width": 1, "layers": 3, "device": "cpu", "lr": 0.05},
    "transfer": {
        "epochs": 1,
        "width": 1,
        "layers": 3,
        "device": "cpu",
        "train_split": "test",
        "val_share": 0.5,
    },
}
TIMES = ["search_seconds", "train_seconds"]
BEGUN_BY_0_1 = Path(__file__).with_name("v01")
"""Folder of TINY as version 0.1 left it: one search and one transfer completed, one search interrupted."""


def command(file: Path, root: Path) -> list[str]:
    run = [sys.executable, "-m", "nastransfer_nni.study", "run", str(file), "--out", str(root)]
    return [*run, "--concurrency", "2"]


def run(file: Path, root: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess:
    env = os.environ | environment
    return subprocess.run([*command(file, root), *flags], env=env, capture_output=True, text=True)


def results(root: Path) -> pd.DataFrame:
    return collect(root)[0].drop(columns=TIMES).sort_values("run").reset_index(drop=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.yml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    """Folder of the study after an uninterrupted run, and what the run printed."""
    root = tmp_path_factory.mktemp("finished") / "tiny"
    ran = run(file, root)
    assert ran.returncode == 0, ran.stderr
    return root, ran


def test_study_runs_to_its_table(file, finished):
    root, ran = finished
    assert "3 searches: 3 completed" in ran.stdout
    assert "[6/6]" in ran.stderr
    table = results(root)
    assert sorted(table["strategy"]) == ["random", "random", "random_ws"]
    assert table["top1"].between(0, 100).all()
    assert not any("Traceback" in job.log(root).read_text() for job in Study.read(file).jobs)


def test_completed_study_is_left_alone(file, finished):
    root, _ = finished
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    ran = run(file, root)
    assert ran.returncode == 0
    assert "6 jobs, 6 completed before" in ran.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_study_that_is_in_the_table_has_nothing_left_to_run(file, finished, tmp_path):
    write_table(TableConfig(file=str(file), out=str(finished[0]), to=str(tmp_path / "new" / "table.csv")))
    ran = run(file, tmp_path / "other", "--from-table", str(tmp_path / "new" / "table.csv"))
    assert ran.returncode == 0, ran.stderr
    assert "3 transfers of study tiny are done" in ran.stdout and "6 jobs, 6 completed before" in ran.stderr
    pd.testing.assert_frame_equal(results(tmp_path / "other"), results(finished[0]))


@pytest.mark.slow
def test_killed_study_ends_with_the_same_table(file, finished, tmp_path):
    root = tmp_path / "tiny"
    for completed in ("[1/6]", "[4/6]"):  # while other jobs are running
        process = subprocess.Popen(command(file, root), stderr=subprocess.PIPE, text=True)
        assert any(line.startswith(completed) for line in process.stderr)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ran = run(file, root)
    assert ran.returncode == 0, ran.stderr
    pd.testing.assert_frame_equal(results(root), results(finished[0]))


@pytest.mark.slow
def test_study_begun_by_version_0_1_ends_as_one_by_its_rules(file, tmp_path):
    """No job of it is done twice, and its cells and seeds stay those of 0.1 to the end."""
    root, whole = tmp_path / "begun" / "tiny", tmp_path / "whole" / "tiny"
    shutil.copytree(BEGUN_BY_0_1, root)
    ran = run(file, root)
    assert ran.returncode == 0, ran.stderr
    assert "6 jobs, 2 completed before" in ran.stderr
    by_its_rules = tmp_path / "tiny.yml"
    by_its_rules.write_text(yaml.safe_dump(TINY | {"rules": "0.1"}))
    assert run(by_its_rules, whole).returncode == 0
    uncounted = [
        *(f"{what}_forward_samples" for what in ("search", "proxy")),
        "proxy_samples",
        "proxy_seconds",
    ]
    ended, expected = (results(one).drop(columns=uncounted) for one in (root, whole))
    pd.testing.assert_frame_equal(ended, expected)
    assert set(results(root)["train_seed"].astype(int)) == {0}


@pytest.mark.slow
def test_trials_of_nni_end_with_the_same_table(file, finished, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = tmp_path / "tiny"
    ran = run(
        file, root, "--engine", "nni", "--port", str(port), HOME=str(tmp_path)
    )  # NNI lists experiments there
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "NNI experiment 1: 3 searches" in ran.stderr and "NNI experiment 2" not in ran.stderr
    pd.testing.assert_frame_equal(results(root), results(finished[0]))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)), "the manager is still there"


@pytest.mark.slow
def test_failed_job_is_reported_and_stops_no_other(file, finished, tmp_path):
    root = tmp_path / "tiny"
    shutil.copytree(finished[0], root)
    for job in (
        "searches/random-seed0",
        "transfers/random-seed0--digits-train0",
        "transfers/random-seed1--digits-train0",
    ):
        shutil.rmtree(root / job)
    (root / "searches" / "random-seed0").write_text("in the way")
    ran = run(file, root)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("error: 2 of 6 jobs are not completed")
    study = Study.read(file)
    statuses = {job.name: job_status(job, root).status for job in study.jobs}
    assert statuses.pop("random-seed0") == "failed"
    assert statuses.pop("random-seed0--digits-train0") == "waiting"
    assert set(statuses.values()) == {"completed"}
    assert "random-seed0: --out" in overview(study, root)
