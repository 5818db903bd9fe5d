"""The Triton kernels of separable convolutions have the plain cell's numbers, in Triton's interpreter."""

import os

import pytest
import torch

from search_spaces.cells.batched import Waves
from search_spaces.cells.fast import FastCell
from search_spaces.cells.gpu import separable
from tests.search_spaces.test_batched_cell import pair

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    os.environ["TRITON_INTERPRET"] != "1", reason="Triton compiles for the GPU: TRITON_INTERPRET=1 interprets"
)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Kernels that NumPy computes, for cells on a CPU."""
    monkeypatch.setattr(separable, "usable", lambda x: True)
    monkeypatch.setattr(FastCell, "_is_batched", lambda self, x: True)


@pytest.fixture(autouse=True)
def fused(monkeypatch):
    """Number of waves that the kernels computed."""
    waves, whole = [], Waves._separable

    def counted(self, wave, x, nodes):
        waves.append(wave)
        return whole(self, wave, x, nodes)

    monkeypatch.setattr(Waves, "_separable", counted)
    return waves


def outcome(cell, order, size, needs_weights):
    """Output and gradients by weights of candidates, inputs and weights, then the buffers."""
    torch.manual_seed(1)
    dtype = next(cell.parameters()).dtype
    tensors = [torch.rand(14, 8), *(torch.randn(2, c, *size) for c in (6, 7))]
    leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    cell.requires_grad_(needs_weights)
    cell.weights = leaves[0]
    out = cell(*(leaf.contiguous(memory_format=order) for leaf in leaves[1:]))
    slope = torch.linspace(-1, 2, out.numel(), dtype=dtype).view(out.shape)
    sources = [*leaves, *(weight for weight in cell.parameters() if weight.requires_grad)]
    grads = torch.autograd.grad((out * slope).sum(), sources, allow_unused=True)
    return [out.detach(), *grads, *cell.buffers()]


def assert_same(plain, fast, size=(3, 4), tolerance=1e-9, needs_weights=True):
    expected = outcome(plain, torch.contiguous_format, size, needs_weights)
    found = outcome(fast, torch.channels_last, size, needs_weights)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert (one - other).abs().max() <= tolerance * other.abs().max().clamp_min(1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "parts", "training"),
    [("reduce", 1, True), ("normal", 2, True), ("normal", 1, False)],
    ids=["stride of 2", "partial channels", "evaluation"],
)
def test_equals_the_plain_cell(kind, parts, training, fused):
    cells = pair(kind, channels=2 * parts, parts=parts)
    for cell in cells:
        cell.train(training)
    assert_same(*cells)
    assert fused == [0, 1, 2, 3]


def test_frozen_weights_in_single_precision(fused, monkeypatch):
    """The step of the alphas, in one wave of the cell."""
    whole = Waves._is_fused
    monkeypatch.setattr(Waves, "_is_fused", lambda self, wave, x: wave == 3 and whole(self, wave, x))
    plain, fast = (cell.float() for cell in pair("normal"))
    assert_same(plain, fast, tolerance=1e-4, needs_weights=False)
    assert fused == [3]
