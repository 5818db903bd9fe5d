import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nastransfer_nni.base import torch_io as store
from nastransfer_nni.base.distributed import DistributedContext, pick_device
from search_spaces.errors import UserError
from strategies.meters import Meter

SCRIPT = Path(__file__).with_name("one_of_several.py")
STEPS = 50


def start(folder, processes, epochs=STEPS, stop_at=-1):
    folder.mkdir(exist_ok=True)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *launch, str(SCRIPT), str(folder), str(epochs), str(stop_at)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process, folder):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run on one and on two processes."""
    folders = [tmp_path_factory.mktemp("runs") / str(count) for count in (1, 2)]
    started = [start(folder, count) for folder, count in zip(folders, (1, 2), strict=True)]
    return [finish(process, folder) for process, folder in zip(started, folders, strict=True)]


@pytest.mark.slow
def test_one_and_two_processes_have_equal_losses_over_fifty_steps(runs):
    one, two = (json.loads((folder / "found.json").read_text()) for folder in runs)
    assert len(one["train"]) == STEPS and one["train"][-1] < one["train"][0] / 1.2
    assert two["train"] == pytest.approx(one["train"], abs=1e-9)
    assert two["final"]["loss"] == pytest.approx(one["final"]["loss"], abs=1e-9)


@pytest.mark.slow
def test_an_odd_number_of_images_is_evaluated_exactly(runs):
    one, two = (json.loads((folder / "found.json").read_text())["final"] for folder in runs)
    assert one["images"] == two["images"] == 11
    assert one["top1"] == two["top1"] and one["top1"] * 11 / 100 == pytest.approx(
        round(one["top1"] * 11 / 100)
    )


@pytest.mark.slow
def test_weights_are_equal_and_written_once(runs):
    one, two = (store.load(folder / "last.pt") for folder in runs)
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-8, atol=1e-9)
    assert not any(name.startswith("module.") for name in two["state_dict"])


@pytest.mark.slow
def test_two_processes_stop_together_and_resume(runs, tmp_path):
    finish(start(tmp_path, 2, stop_at=20), tmp_path)
    assert (tmp_path / "interrupted0").exists() and (tmp_path / "interrupted1").exists()
    assert store.load(tmp_path / "last.pt")["progress"]["epoch"] == 19
    finish(start(tmp_path, 2), tmp_path)
    whole, resumed = (store.load(folder / "last.pt") for folder in (runs[1], tmp_path))
    for name, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value)


def test_sums_of_shares_are_the_sums_of_the_whole():
    torch.manual_seed(0)
    logits, labels = torch.randn(11, 8), torch.randint(8, (11,))
    loss = torch.nn.functional.cross_entropy
    whole, shares = Meter(DistributedContext()), [Meter(DistributedContext()) for _ in range(3)]
    whole.add(loss(logits, labels), logits, labels)
    for rank, share in enumerate(shares):
        share.add(loss(logits[rank::3], labels[rank::3]), logits[rank::3], labels[rank::3])
    torch.testing.assert_close(sum(share.sums for share in shares), whole.sums, rtol=1e-6, atol=1e-6)
    _, top1, top5, images = whole.sums.tolist()
    ranked = logits.argsort(dim=1, descending=True)
    assert top1 == sum(int(label in row[:1]) for row, label in zip(ranked, labels, strict=True))
    assert top5 == sum(int(label in row[:5]) for row, label in zip(ranked, labels, strict=True))
    assert images == 11


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--device"):
        pick_device("cuda:7" if not torch.cuda.is_available() else "xpu:7")
    assert pick_device("cpu").type == "cpu"
