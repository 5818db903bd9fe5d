import pytest
import torch
from torch.nn.functional import cross_entropy

from strategies.distributed import DistributedContext
from strategies.meters import Meter

CPU = DistributedContext()


def batches(classes, sizes=(7, 1, 12)):
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        yield (
            torch.randn(size, classes, generator=generator),
            torch.randint(classes, (size,), generator=generator),
        )


@pytest.mark.parametrize("classes", [2, 5, 8])
def test_metrics_are_means_over_images(classes):
    meter, losses, ranks = Meter(CPU), [], []
    for logits, labels in batches(classes):
        meter.add(cross_entropy(logits, labels), logits, labels)
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            losses.append(-torch.tensor(row).log_softmax(0)[label].item())
            ranks.append(sum(value > row[label] for value in row))
    metrics = meter.compute()
    assert metrics.images == len(ranks) == 20
    assert metrics.loss == pytest.approx(sum(losses) / 20)
    assert metrics.top1 == pytest.approx(100 * sum(rank == 0 for rank in ranks) / 20)
    assert metrics.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 20)
    assert meter.loss_and_top1() == {"loss": metrics.loss, "top1": metrics.top1}


def test_computing_changes_no_sum_and_no_images_give_zeros():
    meter = Meter(CPU)
    assert meter.compute().images == 0 and meter.compute().loss == 0
    logits, labels = next(batches(3))
    meter.add(cross_entropy(logits, labels), logits, labels)
    assert meter.compute() == meter.compute()


def test_sums_are_float64_except_on_mps(monkeypatch):
    assert Meter(CPU).sums.dtype == torch.float64
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda size, dtype, device: zeros(size, dtype=dtype))
    assert Meter(DistributedContext(device=torch.device("mps"))).sums.dtype == torch.float32


def test_adding_to_float32_sums_makes_no_float64():
    """As on mps, where float64 does not exist."""
    meter, (logits, labels) = Meter(CPU), next(batches(3))
    meter.sums = meter.sums.float()
    created = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            created.extend(
                value.dtype for value in torch.utils._pytree.tree_leaves(out) if torch.is_tensor(value)
            )
            return out

    with Recorder():
        meter.add(cross_entropy(logits, labels), logits, labels)
    assert created and torch.float64 not in created
    assert meter.sums.dtype == torch.float32
