"""The search-time cell of single-path search: it computes one sampled cell on shared weights.

A CPU computes cells of the operations and nodes of DARTS by the loops of `search_spaces.cells.compiled`, as a
mixture in which the sampled candidates have the weight 1 and no other is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from search_spaces.base import Edge
from search_spaces.cells.base import DartsSearchTimeCell
from search_spaces.cells.compiled import cell as compiled_cell
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.layout import Layers
from search_spaces.cells.compiled.pointwise import preprocess_by_loops
from search_spaces.cells.mixed import MixedOperation
from search_spaces.cells.weighted import without_running_statistics
from search_spaces.genotype import CANDIDATES, CONCAT, EDGES, OPERATIONS
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
        preprocess_by_loops(self)
        self._layers: list[Layers] | None = None
        if tuple(geometry.operations) == tuple(OPERATIONS) and tuple(geometry.concat) == tuple(CONCAT):
            self._layers = [Layers.of(*mixed.candidates) for edges in self._edges() for mixed in edges]

    def _edges(self) -> Iterable[Sequence[MixedOperation]]:
        return cast(Iterable[Sequence[MixedOperation]], self.nodes)

    def choose(self, genotype: Any) -> None:
        """Set the cell that is computed from now on."""
        self.path = genotype.nodes(self.geometry.kind)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        if self._layers and kernels.usable(s0) and not torch.is_autocast_enabled("cpu"):
            return self._run_compiled(self._layers, s0, s1)
        states, names = [self.preprocess0(s0), self.preprocess1(s1)], self.geometry.operations
        for edges, pair in zip(self._edges(), self.path, strict=True):
            first, second = (
                edges[state].candidates[names.index(name)](states[state]) for name, state in pair
            )
            states.append(first + second)
        return torch.cat([states[node] for node in self.geometry.concat], dim=1)

    def _run_compiled(self, layers: list[Layers], s0: Tensor, s1: Tensor) -> Tensor:
        s0, s1 = (x.contiguous(memory_format=torch.channels_last) for x in (s0, s1))
        weights = torch.zeros(EDGES, len(CANDIDATES))
        first_edges = [sum(range(CONCAT[0], node)) for node in CONCAT]
        for first, pair in zip(first_edges, self.path, strict=True):
            for name, state in pair:
                weights[first + state, CANDIDATES.index(name)] = 1
        return compiled_cell.run(
            layers,
            self.preprocess0(s0),
            self.preprocess1(s1),
            weights,
            training=True,
            recompute=False,
            computed=weights.bool().tolist(),
        )
