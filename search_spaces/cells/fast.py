"""The search-time cell, fast: the mathematics and the weights of `MixedCell`, computed in another order.

What the plain cell computes once per edge is computed once per state where it is the same. The weight of a
candidate becomes the scale of its last BatchNorm, `none` is never computed, and gradients are computed only
where they are required. A CPU runs compiled loops (`search_spaces.cells.compiled`); elsewhere, and without
a compiler, torch's own operations do the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.utils.checkpoint import checkpoint

from search_spaces.cells.compiled import cell as compiled_cell
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.layout import OUTGOING, Layers
from search_spaces.cells.mixed import MixedCell, MixedOperation
from search_spaces.genotype import CONCAT
from search_spaces.geometry import CellGeometry
from search_spaces.operations import FactorizedReduce


class FastCell(MixedCell):
    """`MixedCell` with the same state dict and the same results up to rounding, in less time and memory.

    Attributes:
        recompute: whether to keep the cell's inputs only and recompute the rest in the backward pass.
    """

    recompute = False

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self._layers = [Layers.of(*cast(MixedOperation, edge).candidates) for edge in self.edges]
        self._sees_batch_again = False

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """The outputs of two cells -> [B, 4 * channels, H / stride, W / stride], channels last in memory."""
        x0 = self.preprocess0(s0.contiguous(memory_format=torch.channels_last))
        x1 = self.preprocess1(s1.contiguous(memory_format=torch.channels_last))
        if kernels.usable(x0):
            return compiled_cell.run(self._layers, x0, x1, self.weights, self.training, self.recompute)
        if self.recompute and torch.is_grad_enabled():
            contexts = lambda: (contextlib.nullcontext(), self._again())  # noqa: E731
            result: Any = checkpoint(
                self._run, x0, x1, self.weights, use_reentrant=False, context_fn=contexts
            )
            return result
        return self._run(x0, x1, self.weights)

    @contextlib.contextmanager
    def _again(self) -> Iterator[None]:
        self._sees_batch_again = True
        try:
            yield
        finally:
            self._sees_batch_again = False

    def _run(self, s0: Tensor, s1: Tensor, weights: Tensor) -> Tensor:
        states, candidates = [s0, s1], [cast(MixedOperation, edge).candidates for edge in self.edges]
        nodes: dict[int, Tensor] = {}
        for state, outgoing in enumerate(OUTGOING):
            x = states[state]
            active = torch.relu(x)
            pools = [cast(nn.Sequential, candidate)[0](x) for candidate in candidates[outgoing[0].edge][:2]]
            for node, edge in outgoing:
                _, *scales = weights[edge]
                for term in self._terms(candidates[edge], x, active, pools, scales):
                    nodes[node] = nodes[node].add_(term) if node in nodes else term
            if state > 0:
                states.append(nodes[state + 1])
        return torch.cat([nodes[node] for node in CONCAT], dim=1)

    def _terms(
        self, candidates: Any, x: Tensor, active: Tensor, pools: list[Tensor], scales: list[Tensor]
    ) -> Iterator[Tensor]:
        """The contributions of one edge's candidates to its node."""
        for (_, norm), pool, scale in zip(candidates[:2], pools, scales[:2], strict=True):
            yield self._norm(norm, pool, scale)
        skip = candidates[2]
        if isinstance(skip, FactorizedReduce):
            yield self._norm(skip.bn, skip.convolve(x), scales[2])
        else:
            yield scales[2] * x
        for candidate, scale in zip(candidates[3:], scales[3:], strict=True):
            _, depthwise, pointwise, norm, *second = candidate
            y = pointwise(depthwise(active))
            if second:
                _, depthwise, pointwise, last = second
                norm, y = last, pointwise(depthwise(self._norm(norm, y).relu_()))
            yield self._norm(norm, y, scale)

    def _norm(self, norm: nn.BatchNorm2d, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """BatchNorm, multiplied by a scalar."""
        learns = norm.training and not self._sees_batch_again
        if learns and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        # A weight of stride 0 would do, were its gradient not wrong for channels-last maps (torch 2.14).
        factor = None if scale is None else scale.repeat(x.shape[1])
        momentum = norm.momentum if learns and norm.momentum is not None else 0.0
        return batch_norm(
            x, norm.running_mean, norm.running_var, factor, None, norm.training, momentum, norm.eps
        )
