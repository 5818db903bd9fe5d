"""The search-time cell of single-path search: it computes one sampled cell on shared weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from search_spaces.base import Edge
from search_spaces.cells.base import DartsSearchTimeCell
from search_spaces.cells.mixed import MixedOperation
from search_spaces.cells.weighted import without_running_statistics
from search_spaces.geometry import CellGeometry


class SampledCell(DartsSearchTimeCell):
    """Has every candidate on every edge and computes those of `path` only.

    BatchNorm always uses the statistics of the batch: running averages over many different cells would fit
    none of them. So a score under shared weights does not depend on which cells were trained last.

    Attributes:
        geometry: position of the cell in the network.
        path: the two (operation, state) pairs of each node; set before every forward pass.
    """

    path: tuple[tuple[Edge, Edge], ...]

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                MixedOperation(geometry.channels, geometry.stride(state), geometry.operations)
                for state in range(node)
            )
            for node in geometry.concat
        )
        without_running_statistics(self)

    def choose(self, genotype: Any) -> None:
        """Set the cell that is computed from now on."""
        self.path = genotype.nodes(self.geometry.kind)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states, names = [self.preprocess0(s0), self.preprocess1(s1)], self.geometry.operations
        for edges, pair in zip(cast(Iterable[Sequence[MixedOperation]], self.nodes), self.path, strict=True):
            first, second = (
                edges[state].candidates[names.index(name)](states[state]) for name, state in pair
            )
            states.append(first + second)
        return torch.cat([states[node] for node in self.geometry.concat], dim=1)
