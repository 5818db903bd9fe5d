"""Signals to the two processes of a run that torchrun has started, and to torchrun itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from nastransfer_nni.base import torchrun
from nastransfer_nni.base.launch import is_first_to_report
from strategies.distributed import DistributedContext, StopFlag

TRANSFER = ["transfer", "--arch", "DARTS_V2", "--width", "4", "--layers", "3", "--epochs", "4"]
TRANSFER += ["--model-ema", "--drop-path", "0.2", "--cutout", "2"]
SEARCH = ["search", "--width", "2", "--layers", "3", "--epochs", "3", "--batch-size", "64"]


def launched(command, out):
    """The command on two processes of this machine, as a user starts it."""
    start = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [*start, "-m", f"nastransfer_nni.{command[0]}", *command[1:], "--device", "cpu", "--out", str(out)],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def process_of(process, rank):
    """The process of a rank; None: torchrun itself."""
    if rank is None:
        return process.pid
    return next(
        child.pid for child in psutil.Process(process.pid).children() if child.environ()["RANK"] == str(rank)
    )


def signalled(command, out, number, rank):
    """Exit code and messages of a run that gets a signal in its second epoch."""
    process = launched(command, out)
    lines = out / "metrics.jsonl"
    while process.poll() is None and not (lines.exists() and lines.read_text().count("\n") >= 2):
        time.sleep(0.02)
    os.kill(process_of(process, rank), number)
    return process.communicate(timeout=120)[1], process.returncode


def ended(process):
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 0, errors[-2000:]


def status(out):
    return json.loads((out / "status.json").read_text())["status"]


def equal(one, other):
    if isinstance(one, dict):
        timed = {"seconds", "search_seconds", "cpu_seconds"}
        return one.keys() == other.keys() and all(
            equal(value, other[name]) for name, value in one.items() if name not in timed
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "state", "number", "rank"),
    [
        pytest.param(TRANSFER, "last.pt", signal.SIGTERM, None, id="transfer"),
        pytest.param(SEARCH, "search.pt", signal.SIGINT, 1, id="search"),
    ],
)
def test_all_processes_stop_together_and_the_same_command_resumes(command, state, number, rank, tmp_path):
    whole = launched(command, tmp_path / "whole")
    errors, code = signalled(command, tmp_path / "stopped", number, rank)
    assert code == 130 and status(tmp_path / "stopped") == "interrupted", errors
    assert errors.count("interrupted; the same command resumes from here") == 1
    assert "Traceback" not in errors and "gloo" not in errors
    if command is TRANSFER:
        saved = torch.load(tmp_path / "stopped" / "checkpoints" / state, weights_only=True)
        assert saved["progress"]["step"] > 0, "the epoch under way was lost"
    ended(whole)
    ended(launched(command, tmp_path / "stopped"))
    found = [
        torch.load(tmp_path / name / "checkpoints" / state, weights_only=True)
        for name in ("whole", "stopped")
    ]
    found = [{name: part for name, part in one.items() if name != "card"} for one in found]
    assert equal(*found)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_one_line(tmp_path):
    errors, code = signalled(TRANSFER, tmp_path / "run", signal.SIGKILL, 1)
    assert code == 128 + signal.SIGKILL
    assert errors.count("error: another process of this run has ended") == 1
    assert "Traceback" not in errors and "gloo" not in errors
    assert status(tmp_path / "run") == "failed"


@pytest.mark.slow
def test_a_mistake_is_reported_once(tmp_path):
    process = launched([*TRANSFER, "--batch-size", "5000"], tmp_path / "run")
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2 and errors.count("more than the 1437 images") == 1
    assert "Traceback" not in errors


def test_one_process_of_a_machine_reports(tmp_path, monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "TORCHELASTIC_ERROR_FILE": str(tmp_path / "0" / "e.json")}.items():
        monkeypatch.setenv(name, value)
    assert is_first_to_report() and not is_first_to_report()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert is_first_to_report() and is_first_to_report()


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (["/usr/bin/torchrun", "-m", "nastransfer_nni.transfer"], True),
        (["/site-packages/torch/distributed/run.py", "--nproc_per_node=2", "/usr/bin/nastransfer"], True),
        (["/usr/bin/torchrun", "train.py"], False),
        (["/site-packages/nastransfer_nni/transfer/__main__.py", "--arch", "nastransfer_nni"], False),
    ],
)
def test_only_a_torchrun_of_ours_ends_otherwise(arguments, changed, monkeypatch):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    torchrun.handler()
    assert (sys.excepthook is not sys.__excepthook__) == changed


class TwoProcesses(DistributedContext):
    """Two processes that do the same at the same time, without a second one."""

    def all_reduce_sum(self, values):
        self.questions.append(values.clone())
        return values.mul_(2)


def test_processes_ask_each_other_about_once_a_second(monkeypatch):
    processes = TwoProcesses(0, 2)
    object.__setattr__(processes, "questions", [])
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    asked = []
    stop = StopFlag(processes, lambda: bool(asked))
    for _ in range(500):
        now[0] += 0.1
        assert not stop()
    assert 500 * 0.1 * 0.9 < len(processes.questions) < 500 * 0.1 * 1.2
    asked.append(True)
    assert any(stop() for _ in range(12)), "they agree within a second"
    alone = StopFlag(DistributedContext(), lambda: True)
    assert alone()
