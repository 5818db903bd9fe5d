"""The search command under SIGKILL, on the bundled digits; `python -m benchmarks.kills` does it at length."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SIZE = ["--width", "2", "--layers", "3", "--batch-size", "64", "--device", "cpu"]
SEARCHES = {
    "random_ws:candidates=30,finalists=3,batches=2": ("checkpoints/search.pt", "candidates.jsonl"),
    "evolution:population=3,tournament=2,candidates=6": ("candidates.jsonl",),
}


def start(strategy, out):
    command = [sys.executable, "-m", "nastransfer_nni.search", "--strategy", strategy, "--epochs", "1", *SIZE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    silent = subprocess.DEVNULL
    return subprocess.Popen([*command, "--out", str(out)], stdout=silent, stderr=silent, env=environment)


def outcome(out):
    summary = json.loads((out / "summary.json").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    clocks = {"seconds", "images_per_second"}
    metrics = [{name: value for name, value in line.items() if name not in clocks} for line in lines]
    return metrics, {name: summary[name] for name in ("top1", "genotype", "search_samples", "candidates")}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", SEARCHES)
def test_a_killed_search_ends_like_one_that_was_left_alone(strategy, tmp_path):
    assert start(strategy, tmp_path / "alone").wait() == 0
    killed = tmp_path / "killed"
    for file in SEARCHES[strategy]:  # killed soon after the file has appeared
        process = start(strategy, killed)
        while not (killed / file).exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.05)
        assert process.poll() is None, "the search ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(strategy, killed).wait() == 0
    assert outcome(killed) == outcome(tmp_path / "alone")
