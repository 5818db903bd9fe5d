"""The search-time cell, plain: every edge runs every candidate and adds them up by weight.

This is the reference with which faster cells are compared; it is written to be obvious.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from search_spaces.cells.base import SearchTimeCell
from search_spaces.genotype import CANDIDATES, CONCAT, OPERATIONS
from search_spaces.geometry import CellGeometry
from search_spaces.operations import operation

SKIP = CANDIDATES.index("skip_connect")

Computed = list[list[bool]]
"""Whether each candidate of each edge is computed, [14][8]; one that is not has the weight 0."""


class SearchCell(Protocol):
    """What strategies use of a search-time cell.

    Attributes:
        geometry: position of the cell in the network.
        weights: weights of the candidates [14, 8], one row per edge, one column per candidate; set before
            every forward pass.
        computed: which candidates are computed; None: all.
        skip_dropout: probability with which training sets an element of an identity skip to 0.
        generator: random generator of the dropout; needed with one.
    """

    geometry: CellGeometry
    weights: Tensor
    computed: Computed | None
    skip_dropout: float
    generator: torch.Generator | None


class MixedOperation(nn.Module):
    """All candidates of one edge: [B, C, H, W] -> their weighted sum, [B, C, H / stride, W / stride].

    During the search BatchNorm is affine-free, and pooling is followed by one, so that no candidate can win
    by scale alone. `none` contributes zero, whatever its weight.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.candidates = nn.ModuleList()
        for name in OPERATIONS:
            candidate = operation(name, channels, stride, affine=False)
            if "pool" in name:
                candidate = nn.Sequential(candidate, nn.BatchNorm2d(channels, affine=False))
            self.candidates.append(candidate)

    def forward(
        self, x: Tensor, weights: Tensor, computed: list[bool] | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the candidates.

        Args:
            x: the state, [B, C, H, W].
            weights: weights of the candidates, [8].
            computed: which candidates are computed; None: all.
            mask: factors of the skip, [B, C, H, W]; None: 1.
        """
        total = None
        for column, candidate in enumerate(self.candidates, start=1):
            if computed is None or computed[column]:
                y = candidate(x)
                term = weights[column] * (y if mask is None or column != SKIP else y * mask)
                total = term if total is None else total + term
        return x[..., :: self.stride, :: self.stride] * 0 if total is None else total


class MixedCell(SearchTimeCell):
    """A cell in which each node sums a mixed operation on every earlier state."""

    weights: Tensor
    computed: Computed | None = None
    skip_dropout = 0.0
    generator: torch.Generator | None = None

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self.edges = nn.ModuleList(
            MixedOperation(geometry.channels, geometry.stride(state))
            for node in CONCAT
            for state in range(node)
        )

    def operations(self) -> list[MixedOperation]:
        """The mixed operation of every edge."""
        edges: Iterable[Any] = self.edges
        return [getattr(edge, "mixed", edge) for edge in edges]

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        computed: Iterable[Any] = self.computed or [None] * len(self.edges)
        edges = iter(zip(self.edges, self.weights, computed, self.skip_masks(states[0]), strict=True))
        for node in CONCAT:
            terms = [edge(state, *rest) for state, (edge, *rest) in zip(states[:node], edges, strict=False)]
            states.append(sum(terms[1:], start=terms[0]))
        return torch.cat([states[node] for node in CONCAT], dim=1)

    def skip_masks(self, x: Tensor) -> list[Tensor | None]:
        """Factors of the identity skips of every edge, drawn edge by edge; `x` is a state before the nodes.

        An element is 0 with the probability `skip_dropout`, else 1 / (1 - skip_dropout). Skips of stride 2
        have none, as in P-DARTS (Chen et al., ICCV 2019).
        """
        operations = self.operations()
        if not (self.training and self.skip_dropout):
            return [None] * len(operations)
        stride = operations[0].stride
        batch, _, height, width = x.shape
        size = (batch, self._computed_channels(), (height - 1) // stride + 1, (width - 1) // stride + 1)
        keep = 1 - self.skip_dropout
        masks: list[Tensor | None] = []
        for edge, mixed in enumerate(operations):
            if mixed.stride == 1 and (self.computed is None or self.computed[edge][SKIP]):
                drawn = torch.empty(size, dtype=x.dtype, device=x.device)
                masks.append(drawn.bernoulli_(keep, generator=self.generator).div_(keep))
            else:
                masks.append(None)
        return masks

    def _computed_channels(self) -> int:
        convolution = self.operations()[0].candidates[-1][2]  # type: ignore[index]
        return int(convolution.out_channels)
