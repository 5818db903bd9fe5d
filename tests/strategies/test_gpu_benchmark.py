"""The command for a person with a GPU: it works on a CPU at tiny sizes, and so on its first lines there."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu import FIRST_ORDER, OURS, Round, alternated, ratios, summary
from benchmarks.gpu_steps import FED
from strategies.graphs import WARM_UP_STEPS


def command(*options):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_it_measures_on_a_cpu(tmp_path):
    done = command("--device", "cpu", "--tiny", "--rounds", "2", "--repeats", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert not [row for row in content["rows"] if "failed" in row]
    variants = {row["variant"] for row in content["rows"]}
    assert variants >= {"nni", "plain", *FED, *OURS, *FIRST_ORDER}
    assert content["tiny_search"]["same"]
    assert (tmp_path / "gpu.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so():
    done = command()
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no GPU here")
    assert len(done.stderr.splitlines()) == 1


def test_a_variant_that_fails_does_not_stop_the_others():
    def fails():
        raise RuntimeError("out of memory\nand more")

    turns = []
    makers = {
        "one": lambda: lambda: turns.append(1),
        "two": lambda: fails,
        "three": lambda: lambda: turns.append(3),
    }
    found = alternated(makers, torch.device("cpu"), rounds=2, repeats=1)
    assert found["two"] == "RuntimeError: out of memory"
    warm_up = WARM_UP_STEPS + 2  # of each, the last one timed, then they take turns
    assert turns == [1] * warm_up + [3] * warm_up + [1, 3, 1, 3]
    assert len(found["one"]) == 2


def test_what_there_is_no_time_for_is_left_out():
    def never():
        raise AssertionError("it was made")

    found = alternated({"one": never}, torch.device("cpu"), rounds=1, repeats=1, deadline=0.0)
    assert found == {"one": "left out: no time was left"}


def test_figures_of_rounds():
    ours, theirs = [Round(1.0, 0.75, 10.0), Round(3.0, 1.5, 12.0)], [Round(4.0, None, None)] * 2
    found = summary(ours)
    assert found == {"turns": 2, "median": 2.0, "min": 1.0, "max": 3.0, "idle": 0.375, "megabytes": 12.0}
    assert ratios(ours, theirs)["max"] == 4.0
