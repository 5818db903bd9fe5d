"""The search-time cell, plain: every edge runs every candidate and adds them up by weight.

This is the reference with which faster cells are compared; it is written to be obvious.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from search_spaces.cells.base import SearchTimeCell
from search_spaces.genotype import CONCAT, OPERATIONS
from search_spaces.geometry import CellGeometry
from search_spaces.operations import operation


class SearchCell(Protocol):
    """What strategies use of a search-time cell.

    Attributes:
        geometry: position of the cell in the network.
        weights: weights of the candidates [14, 8], one row per edge, one column per candidate; set before
            every forward pass.
    """

    geometry: CellGeometry
    weights: Tensor


class MixedOperation(nn.Module):
    """All candidates of one edge: [B, C, H, W] -> their weighted sum, [B, C, H / stride, W / stride].

    During the search BatchNorm is affine-free, and pooling is followed by one, so that no candidate can win
    by scale alone. `none` contributes zero, whatever its weight.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.candidates = nn.ModuleList()
        for name in OPERATIONS:
            candidate = operation(name, channels, stride, affine=False)
            if "pool" in name:
                candidate = nn.Sequential(candidate, nn.BatchNorm2d(channels, affine=False))
            self.candidates.append(candidate)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        total = weights[1] * self.candidates[0](x)
        for weight, candidate in zip(weights[2:], self.candidates[1:], strict=True):
            total = total + weight * candidate(x)
        return total


class MixedCell(SearchTimeCell):
    """A cell in which each node sums a mixed operation on every earlier state."""

    weights: Tensor

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self.edges = nn.ModuleList(
            MixedOperation(geometry.channels, geometry.stride(state))
            for node in CONCAT
            for state in range(node)
        )

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edges = iter(zip(self.edges, self.weights, strict=True))
        for node in CONCAT:
            terms = [
                edge(state, weights) for state, (edge, weights) in zip(states[:node], edges, strict=False)
            ]
            states.append(sum(terms[1:], start=terms[0]))
        return torch.cat([states[node] for node in CONCAT], dim=1)
