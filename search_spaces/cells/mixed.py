"""The search-time cell, plain: every edge runs every candidate and adds them up by weight.

This is the reference with which faster cells are compared; it is written to be obvious.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.cells.base import DartsSearchTimeCell
from search_spaces.cells.weighted import WeightedCandidates, WeightedCell
from search_spaces.genotype import CANDIDATES, OPERATIONS
from search_spaces.geometry import CellGeometry
from search_spaces.operations import operation

SKIP = CANDIDATES.index("skip_connect")


class MixedOperation(WeightedCandidates):
    """All candidates of one edge of DARTS: [B, C, H, W] -> [B, C, H / stride, W / stride].

    During the search BatchNorm is affine-free, and pooling is followed by one, so that no candidate can win
    by scale alone.
    """

    def __init__(self, channels: int, stride: int, names: tuple[str, ...] = OPERATIONS) -> None:
        super().__init__((_candidate(name, channels, stride) for name in names), SKIP, stride)


def _candidate(name: str, channels: int, stride: int) -> nn.Module:
    candidate = operation(name, channels, stride, affine=False)
    return nn.Sequential(candidate, nn.BatchNorm2d(channels, affine=False)) if "pool" in name else candidate


class MixedCell(WeightedCell, DartsSearchTimeCell):
    """A cell in which each node sums a mixed operation on every earlier state."""

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self.edges = nn.ModuleList(
            MixedOperation(geometry.channels, geometry.stride(state), geometry.operations)
            for node in geometry.concat
            for state in range(node)
        )

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        computed: Iterable[Any] = self.computed or [None] * len(self.edges)
        edges = iter(zip(self.edges, self.weights, computed, self.skip_masks(states[0]), strict=True))
        for node in self.geometry.concat:
            terms = [edge(state, *rest) for state, (edge, *rest) in zip(states[:node], edges, strict=False)]
            terms = [self.dropped(term) for term in terms]
            states.append(sum(terms[1:], start=terms[0]))
        return torch.cat([states[node] for node in self.geometry.concat], dim=1)

    def skip_masks(self, x: Tensor) -> list[Tensor | None]:
        """Factors of the identity skips of every edge, drawn edge by edge; `x` is an input of the cell."""
        if not (self.training and self.skip_dropout):
            return [None] * len(self.edges)
        stride = self.operations()[0].stride
        batch, _, height, width = x.shape
        size = (batch, self._computed_channels(), (height - 1) // stride + 1, (width - 1) // stride + 1)
        return [self.skip_mask(edge, size, x) for edge in range(len(self.edges))]

    def _computed_channels(self) -> int:
        convolution = self.operations()[0].candidates[-1][2]
        return int(convolution.out_channels)
