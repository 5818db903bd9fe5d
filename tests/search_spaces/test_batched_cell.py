"""The operations that a GPU runs: the same results as the plain cell, and few of them."""

import pytest
import torch

from benchmarks.launches import count
from benchmarks.search_step import Setting, our_step
from search_spaces.cells.fast import FastCell, FastPartialCell
from search_spaces.cells.mixed import MixedCell
from search_spaces.cells.partial import PartialCell
from search_spaces.geometry import CellGeometry
from tests.strategies.test_darts import assert_same_search, search

LAUNCHES = 4000
"""Most operations of a first-order step at width 16, 8 layers: the plain cell's step has some 30,000."""


@pytest.fixture(autouse=True)
def batched(monkeypatch):
    monkeypatch.setattr(FastCell, "_is_batched", lambda self, x: True)


def pair(kind, channels=2, parts=1):
    torch.manual_seed(0)
    geometry = CellGeometry(kind, 6, 7, channels, False)
    made = [PartialCell, FastPartialCell] if parts > 1 else [MixedCell, FastCell]
    plain, fast = (make(geometry, *([parts] if parts > 1 else [])).double() for make in made)
    for buffer in plain.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def everything(cell, s0, s1, weights):
    """Output, gradients by weights of candidates, inputs and weights, then the buffers."""
    leaves = [tensor.clone().requires_grad_() for tensor in (weights, s0, s1)]
    cell.weights = leaves[0]
    out = cell(*leaves[1:])
    slope = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
    gradients = torch.autograd.grad((out * slope).sum(), [*leaves, *cell.parameters()], allow_unused=True)
    return [out.detach(), *gradients, *cell.buffers()]


def assert_same(cells, computed=None, order=torch.contiguous_format, tolerance=1e-9):
    dtype = next(cells[0].parameters()).dtype
    s0, s1 = (torch.randn(2, channels, 5, 4, dtype=dtype) for channels in (6, 7))
    weights = torch.rand(14, 8, dtype=dtype)
    if computed is not None:
        weights = weights * computed
    results = []
    for cell in cells:
        cell.computed = None if computed is None else computed.tolist()
        cell.generator = torch.Generator().manual_seed(3)
        given = [x.contiguous(memory_format=order) for x in (s0, s1)]
        results.append(everything(cell, *given, weights))
    for one, other in zip(*results, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert (one - other).abs().max() <= tolerance * other.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_equals_the_plain_cell(kind, training):
    cells = pair(kind, channels=3)
    for cell in cells:
        cell.train(training)
    for _ in range(2):  # running statistics go on from where they are
        assert_same(cells)


def test_recomputing():
    cells = pair("normal")
    cells[1].recompute = True
    assert_same(cells)


def test_single_precision():
    assert_same([cell.float() for cell in pair("reduce", channels=8)], tolerance=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_candidates_that_are_left_out(kind, training):
    cells = pair(kind)
    computed = torch.rand(14, 8, generator=torch.Generator().manual_seed(1)) < 0.6
    computed[[0, 4]], computed[:, 5], computed[2:5, 1] = False, False, True
    for cell in cells:
        cell.train(training)
    assert_same(cells, computed)


def test_one_candidate_an_edge():
    computed = torch.zeros(14, 8, dtype=torch.bool)
    computed[range(14), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5]] = True
    assert_same(pair("reduce"), computed)


@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_channels_last(kind):
    assert_same(pair(kind), order=torch.channels_last)


@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_partial_channels(kind):
    assert_same(pair(kind, channels=4, parts=2))


def test_dropout_of_skips():
    cells = pair("normal")
    for cell in cells:
        cell.skip_dropout = 0.4
    assert_same(cells)


def test_a_step_has_few_launches(record_property):
    launches = count(our_step(Setting("fast", 16, 8, 64, 1, 1, "meta")))
    record_property("by kind", dict(launches.by_kind()))
    assert launches.total <= LAUNCHES


@pytest.mark.slow
def test_a_search_ends_in_the_same_cell():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        labels = torch.arange(16) % 10
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(16, 3, 8, 8, generator=generator) + labels[:, None, None, None] / 5
        assert_same_search(*(search(images, labels, width=2, cell=cell) for cell in ("fast", "plain")))
    finally:
        torch.set_default_dtype(before)
