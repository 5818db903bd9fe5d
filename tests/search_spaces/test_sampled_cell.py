"""One path on shared weights against the mixture of all candidates with the others weighed 0."""

import numpy as np
import pytest
import torch

from search_spaces import OPERATIONS, Genotype
from search_spaces.cells.compiled import cell as compiled_cell
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.cell import run
from search_spaces.cells.mixed import MixedCell
from search_spaces.cells.sampled import SampledCell
from search_spaces.genotype import CONCAT, EDGES
from search_spaces.geometry import CellGeometry

GEOMETRIES = [
    CellGeometry("normal", 6, 8, 4, False),
    CellGeometry("normal", 8, 8, 4, True),
    CellGeometry("reduce", 6, 8, 4, False),
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_computes_what_a_one_hot_mixture_computes(geometry):
    torch.manual_seed(0)
    mixed, sampled = MixedCell(geometry), SampledCell(geometry)
    assert sum(p.numel() for p in mixed.parameters()) == sum(p.numel() for p in sampled.parameters())
    for ours, theirs in zip(sampled.parameters(), mixed.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    size = 16 if geometry.follows_reduction else 8
    s0, s1 = torch.randn(4, geometry.before_previous, size, size), torch.randn(4, geometry.previous, 8, 8)
    for seed in range(4):
        path = Genotype.random(np.random.default_rng(seed)).nodes(geometry.kind)
        weights = torch.zeros(EDGES, 1 + len(OPERATIONS))
        first = 0
        for node, pair in zip(CONCAT, path, strict=True):
            for name, state in pair:
                weights[first + state, 1 + OPERATIONS.index(name)] = 1
            first += node
        mixed.weights, sampled.path = weights, path
        mixed.train()
        expected = mixed(s0, s1)
        for mode in (True, False):  # the batch's own statistics in both
            torch.testing.assert_close(sampled.train(mode)(s0, s1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_loops_compute_what_the_candidates_do(geometry, monkeypatch):
    """The output, and the gradients of inputs and weights; the others have none either way."""
    torch.manual_seed(0)
    cell = SampledCell(geometry).double()
    size = 10 if geometry.follows_reduction else 5
    s0, s1 = (
        torch.randn(2, channels, pixels, pixels, dtype=torch.double, requires_grad=True)
        for channels, pixels in ((geometry.before_previous, size), (geometry.previous, 5))
    )
    for seed in range(4):
        cell.choose(Genotype.random(np.random.default_rng(seed)))
        results = []
        for library in (kernels.library, lambda: None):
            monkeypatch.setattr(kernels, "library", library)
            runs = []
            monkeypatch.setattr(
                compiled_cell, "run", lambda *a, runs=runs, **k: runs.append(1) or run(*a, **k)
            )
            out = cell(s0, s1)
            assert bool(runs) == (library() is not None)
            slope = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
            leaves = [s0, s1, *cell.parameters()]
            results.append([out, *torch.autograd.grad((out * slope).sum(), leaves, allow_unused=True)])
        monkeypatch.undo()
        for one, other in zip(*results, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_path_touches_its_own_weights_only():
    torch.manual_seed(0)
    geometry = GEOMETRIES[0]
    cell = SampledCell(geometry)
    cell.path = Genotype.random(np.random.default_rng(1)).nodes("normal")
    cell(torch.randn(2, 6, 8, 8), torch.randn(2, 8, 8, 8)).sum().backward()
    touched = {name for name, weight in cell.named_parameters() if weight.grad is not None}
    own = {
        f"nodes.{node - 2}.{state}.candidates.{OPERATIONS.index(name)}."
        for node, pair in zip(CONCAT, cell.path, strict=True)
        for name, state in pair
    }
    assert {name for name in touched if name.startswith("nodes")} == {
        name for name, _ in cell.named_parameters() if any(name.startswith(prefix) for prefix in own)
    }
