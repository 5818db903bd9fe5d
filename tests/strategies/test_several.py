"""Searches on two processes: the same search as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]


def on(processes, *command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [*TORCHRUN, str(processes), *map(str, command)], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def close(one, other, where="found"):
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            close(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9, msg=where)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9), where


@pytest.mark.parametrize(
    "strategy",
    [
        "darts",
        "darts:order=2,cell=plain",
        "gdas",
        "drnas:partial_channels=2/2,frozen_epochs=0",
        "enas:controller_steps=2,aggregate=2,candidates=2",
    ],
)
def test_two_processes_search_as_one(tmp_path, strategy):
    for processes in (1, 2):
        on(processes, Path(__file__).with_name("one_of_several.py"), tmp_path, strategy)
    alone, first, second = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    assert alone["genotype"] == first["genotype"] == second["genotype"]
    assert alone["samples"] == first["samples"] == second["samples"]
    for name in ("weights", "own"):
        close(alone[name], first[name])
        assert str(first[name]) == str(second[name]), "the processes have drifted apart"


def test_the_command_on_two_processes_exports_one_cell_and_resumes(tmp_path):
    command = ["-m", "nastransfer_nni.search", "--device", "cpu", "--width", "2", "--layers", "3"]
    command += ["--epochs", "2", "--batch-size", "64", "--out", tmp_path / "run"]
    summary = json.loads(on(2, *command))
    assert summary["epochs"] == 2 and summary["search_samples"] == 2 * (718 + 718)
    lines = (tmp_path / "run" / "architectures.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
    again = on(2, *command)
    assert "is complete" in again and json.loads(again.split("\n", 1)[1]) == summary
