"""A whole small study on the digits: run, killed and run again, broken and reported."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nastransfer_nni.report.collect import collect
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.status import overview, standing

TINY = {
    "name": "tiny",
    "strategies": ["random_ws:candidates=2,batches=1,finalists=1"],
    "sources": ["digits"],
    "proxies": ["classes:2"],
    "search_seeds": [0],
    "random_cells": 2,
    "targets": ["digits"],
    "search": {"epochs": 1, "width": 2, "layers": 3, "device": "cpu"},
    "transfer": {"epochs": 1, "width": 2, "layers": 3, "device": "cpu"},
}
TIMES = ["search_seconds", "train_seconds"]


def command(file: Path, root: Path) -> list[str]:
    run = [sys.executable, "-m", "nastransfer_nni.study", "run", str(file), "--out", str(root)]
    return [*run, "--workers", "2"]


def results(root: Path) -> pd.DataFrame:
    return collect(root)[0].drop(columns=TIMES).sort_values("run").reset_index(drop=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "tiny.yml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module")
def undisturbed(file, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed") / "tiny"
    ran = subprocess.run(command(file, root), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return root, ran


def test_a_study_runs_to_its_table(file, undisturbed):
    root, ran = undisturbed
    assert "3 searches: 3 completed" in ran.stdout
    assert "[6/6]" in ran.stderr
    table = results(root)
    assert sorted(table["strategy"]) == ["random", "random", "random_ws"]
    assert table["top1"].between(0, 100).all()
    assert not any(job.log(root).read_text().count("Traceback") for job in Study.read(str(file)).jobs)


def test_started_again_it_does_nothing(file, undisturbed):
    root, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    ran = subprocess.run(command(file, root), capture_output=True, text=True)
    assert ran.returncode == 0
    assert "6 jobs, 6 done before" in ran.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_killed_and_started_again_it_ends_with_the_same_table(file, undisturbed, tmp_path):
    for delay in (4.0, 9.0):
        process = subprocess.Popen(command(file, tmp_path / "tiny"), stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ran = subprocess.run(command(file, tmp_path / "tiny"), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    pd.testing.assert_frame_equal(results(tmp_path / "tiny"), results(undisturbed[0]))


def test_as_trials_of_nni_it_ends_with_the_same_table(file, undisturbed, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ran = subprocess.run(
        [*command(file, tmp_path / "tiny"), "--engine", "nni", "--port", port],
        env={**os.environ, "HOME": str(tmp_path)},  # NNI lists its experiments there
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "NNI experiment 1: 3 searches" in ran.stderr and "NNI experiment 2" not in ran.stderr
    pd.testing.assert_frame_equal(results(tmp_path / "tiny"), results(undisturbed[0]))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))), "the manager is still there"


def test_a_failed_job_is_reported_and_stops_no_other(file, undisturbed, tmp_path):
    root = tmp_path / "tiny"
    (root / "searches").mkdir(parents=True)
    (root / "searches" / "random-seed0").write_text("in the way")
    ran = subprocess.run(command(file, root), capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith("error: 2 of 6 jobs are not complete")
    study = Study.read(str(file))
    stands = {job.name: standing(job, root).status for job in study.jobs}
    assert stands.pop("random-seed0") == "failed"
    assert stands.pop("random-seed0--digits-train0") == "waiting"
    assert set(stands.values()) == {"completed"}
    assert "random-seed0: --out" in overview(study, root)
