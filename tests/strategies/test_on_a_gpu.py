"""What only a GPU can show: that it computes what a CPU does, with and without graphs, and never waits."""

import logging

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import strategies
from nastransfer_nni.base.tf32 import tf32
from search_spaces import DartsSpace
from search_spaces.cells.fast import FastCell, FastPartialCell
from search_spaces.cells.mixed import MixedCell
from search_spaces.cells.partial import PartialCell
from search_spaces.geometry import CellGeometry
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.compute import Compute
from strategies.distributed import DistributedContext
from strategies.graphs import graphs_on
from strategies.meters import Meter
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.conftest import Records

DEVICE = torch.device("cuda", 0)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

ORDERS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


@pytest.fixture(autouse=True)
def exact():
    with tf32(False):
        yield


def outcome(cell, device, order, dtype):
    """Output and gradients by weights of candidates, inputs and weights, then the buffers."""
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.rand(14, 8), *(torch.randn(4, c, 8, 8, generator=generator) for c in (6, 7))]
    leaves = [tensor.to(device, dtype).requires_grad_() for tensor in tensors]
    cell = cell.to(device, dtype)
    cell.weights = leaves[0]
    out = cell(*(leaf.contiguous(memory_format=order) for leaf in leaves[1:]))
    slope = torch.linspace(-1, 2, out.numel(), dtype=dtype).view(out.shape).to(device)
    grads = torch.autograd.grad((out * slope).sum(), [*leaves, *cell.parameters()], allow_unused=True)
    parameters, buffers = (list(dict(named)) for named in (cell.named_parameters(), cell.named_buffers()))
    names = ["output", "weights of candidates", "first input", "second input", *parameters, *buffers]
    found = zip(names, (out, *grads, *cell.buffers()), strict=True)
    return {name: x.detach().cpu().double() for name, x in found if x is not None}


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_a_cell_equals_the_plain_one_on_a_cpu(kind, parts, order, dtype, tolerance):
    torch.manual_seed(0)
    geometry = CellGeometry(kind, 6, 7, 8, False)
    made = [PartialCell, FastPartialCell] if parts > 1 else [MixedCell, FastCell]
    plain, fast = (make(geometry, *([parts] if parts > 1 else [])) for make in made)
    fast.load_state_dict(plain.state_dict())
    torch.manual_seed(2)
    expected = outcome(plain, "cpu", torch.contiguous_format, torch.float64)
    torch.manual_seed(2)
    found = outcome(fast, DEVICE, ORDERS[order], dtype)
    assert found.keys() == expected.keys()
    errors = {
        name: float((found[name] - other).abs().max() / other.abs().max().clamp_min(1))
        for name, other in expected.items()
    }
    assert not {name: error for name, error in errors.items() if error > tolerance}


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def search(text, device=DEVICE, graphs=False, images=64):
    """A search of two epochs: the strategy, and what it logged."""
    torch.manual_seed(0)
    labels = torch.arange(2 * images) % 4
    content = torch.randn(2 * images, 3, 8, 8) + labels[:, None, None, None]
    splits = [TensorDataset(content[part], labels[part]) for part in (slice(images), slice(images, None))]
    weights, alphas = (DataLoader(split, batch_size=8) for split in splits)
    evaluator = SupernetEvaluator(
        weights,
        alphas,
        schedule=Schedule(epochs=2),
        recorder=(records := Records()),
        device=device,
        processes=DistributedContext(device=device),
        compute=Compute(graphs=graphs_on(device) if graphs else None),
    )
    strategy = strategies.parse(text).create()
    strategy(RawFormatModelSpace(DartsSpace(4, 3, 4), evaluator), SequentialExecutionEngine())
    return strategy, records.lines


@pytest.mark.parametrize("graphs", [False, True], ids=["step by step", "graphs"])
@pytest.mark.parametrize(
    "text", ["darts:alpha_lr=3e-2", "darts:alpha_lr=3e-2,order=2", "pc-darts:alpha_lr=3e-2,frozen_epochs=0"]
)
def test_a_search_ends_as_on_a_cpu(text, graphs, double, caplog):
    on_cpu, lines = search(text, torch.device("cpu"))
    with caplog.at_level(logging.INFO, "strategies.graphs"):
        on_gpu, found = search(text, graphs=graphs)
    assert not [record for record in caplog.records if record.name == "strategies.graphs"]
    assert on_gpu.result.genotype == on_cpu.result.genotype
    assert on_gpu.result.training_images == on_cpu.result.training_images
    for kind, table in on_cpu.alphas.items():
        assert torch.allclose(on_gpu.alphas[kind].cpu(), table, rtol=0, atol=1e-7), kind
    for (*head, values), (*other_head, others) in zip(found, lines, strict=True):
        assert head == other_head
        if isinstance(values, dict):
            assert values == pytest.approx(others, abs=1e-6)


@pytest.mark.parametrize("text", ["darts", "darts:order=2", "fair-darts", "enas:candidates=4,hidden=8"])
def test_no_step_waits(text, monkeypatch):
    step = torch.optim.SGD.step

    def watched(self, *args, **kwargs):
        torch.cuda.set_sync_debug_mode("error")  # from the first step of an epoch to the sum at its end
        return step(self, *args, **kwargs)

    def summed(meter):
        torch.cuda.set_sync_debug_mode("default")
        return compute(meter)

    compute = Meter.compute
    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    monkeypatch.setattr(Meter, "compute", summed)
    try:
        search(text)
    finally:
        torch.cuda.set_sync_debug_mode("default")
