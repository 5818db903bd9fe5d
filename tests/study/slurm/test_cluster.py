"""A study on a real cluster of one node: requeued, over its time limit, and left alone by its controller."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nastransfer_nni.report.collect import collect

from ..test_run import TIMES, TINY

HERE = Path(__file__).parent
CLUSTER = HERE / "cluster.sh"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
SLOW = "slow_strategy:Slow:candidates=2,batches=1,finalists=1"
STUDY = TINY | {"strategies": [SLOW], "search": TINY["search"] | {"epochs": 20}}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A running cluster that the commands of Slurm find."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.getuid():
        pytest.skip(f"a cluster needs root and Debian's slurm-wlm and munge; missing: {missing or 'root'}")
    folder = tmp_path / "cluster"
    subprocess.run([CLUSTER, "start", folder], check=True)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    yield folder
    subprocess.run(["scancel", "--user=root"], check=False)
    subprocess.run([CLUSTER, "stop", folder], check=True)


def command(file: Path, root: Path, *flags: str) -> list[str]:
    run = [sys.executable, "-m", "nastransfer_nni.study", "run", str(file), "--out", str(root)]
    return [*run, "--concurrency", "2", *flags]


def until(seen, seconds: float = 300.0):
    """What `seen` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := seen():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not seen within {seconds:.0f} seconds")


def squeue(*arguments: str) -> str:
    """What squeue shows, without its header."""
    command = ["squeue", "--noheader", "--array", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def running(index: int) -> str | None:
    """The task with this index, once it runs."""
    tasks = squeue("--states=RUNNING", "--format=%i").split()
    return next((task for task in tasks if task.endswith(f"_{index}")), None)


def requeue(task: str) -> None:
    """Requeue a task, and have it start again as soon as it has ended, not after Slurm's two minutes."""
    subprocess.run(["scontrol", "requeue", task], check=True)
    until(lambda: runs_again(task))


def runs_again(task: str) -> bool:
    """Let a requeued task start now; Slurm delays it once more when the old one has ended."""
    if squeue(f"--jobs={task}", "--format=%T") == "RUNNING":
        return True
    subprocess.run(["scontrol", "update", f"JobId={task}", "StartTime=now"], capture_output=True, check=False)
    return False


def limit(task: str) -> None:
    """Give a task one minute in all, the least that Slurm knows."""
    subprocess.run(["scontrol", "update", f"JobId={task}", "TimeLimit=1"], check=True)


def results(root: Path) -> pd.DataFrame:
    return collect(root)[0].drop(columns=TIMES).sort_values("run").reset_index(drop=True)


@pytest.mark.slow
def test_study_ends_with_the_table_of_local_workers(cluster, tmp_path):
    """Two tasks are requeued, one reaches its time limit, and the controller is killed and run again."""
    file, local, root = tmp_path / "tiny.yml", tmp_path / "local", tmp_path / "slurm"
    file.write_text(yaml.safe_dump(STUDY))
    slurm = command(file, root, "--engine", "slurm", "--time", "30", "--save-seconds", "0", "--interval", "1")
    ran = subprocess.run(command(file, local), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr  # and the search-time cell is compiled
    with subprocess.Popen(slurm) as first:
        try:
            requeue(until(lambda: running(0)))  # a random cell
            until(lambda: next(root.glob("searches/slow*/checkpoints/search.pt"), None))
            requeue(until(lambda: running(1)))
        finally:
            first.kill()
    limit(until(lambda: running(1)))
    ran = subprocess.run(slurm, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "TIMEOUT, submitted again, since it made progress" in ran.stderr
    logs = [sorted(root.glob(f"logs/slurm-*_{index}.txt")) for index in range(3)]
    assert len(logs[0]) == len(logs[2]) == 1, "a task that was queued is not submitted again"
    assert len(logs[1]) == 2
    for requeued in (logs[0][0], logs[1][0]):
        assert "DUE TO JOB REQUEUE" in requeued.read_text()
    pd.testing.assert_frame_equal(results(root), results(local))
