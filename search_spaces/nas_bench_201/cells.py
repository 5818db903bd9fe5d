"""The search-time cells of NAS-Bench-201 (`NAS201SearchCell` in the authors' code).

BatchNorm is affine-free and always uses the statistics of the batch, as in the authors' searches. Pooling has
no BatchNorm after it, unlike in DARTS. The authors' convolutions have a bias, which the BatchNorm behind it
takes out again; here they have none.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from search_spaces.cells.weighted import WeightedCandidates, WeightedCell, without_running_statistics
from search_spaces.nas_bench_201.genotype import EDGES, OPERATIONS
from search_spaces.nas_bench_201.geometry import Block
from search_spaces.nas_bench_201.network import add_up, operation

SKIP = OPERATIONS.index("skip_connect")


class SearchCell(WeightedCell):
    """A cell that has every candidate on each of its six edges: [B, C, H, W] -> [B, C, H, W]."""

    geometry: Block

    def __init__(self, geometry: Block) -> None:
        super().__init__(geometry)
        self.edges = nn.ModuleList(
            WeightedCandidates(
                (operation(name, geometry.channels, affine=False) for name in OPERATIONS[1:]), SKIP
            )
            for _ in EDGES
        )
        without_running_statistics(self)

    @abstractmethod
    def term(self, edge: int, x: Tensor) -> Tensor:
        """What an edge adds to the node that it enters, from the node `x` that it reads."""

    def forward(self, x: Tensor) -> Tensor:
        return add_up(x, self.term)


class MixedCell(SearchCell):
    """A cell whose nodes add up all candidates by weight."""

    def term(self, edge: int, x: Tensor) -> Tensor:
        """The weighted sum of the candidates."""
        computed = self.computed[edge] if self.computed else None
        mask = self.skip_mask(edge, x.shape, x)
        return self.dropped(self.operations()[edge](x, self.weights[edge], computed, mask))


class SampledCell(SearchCell):
    """A cell that computes one operation an edge, those of `path`.

    Attributes:
        path: the operation of each edge; set before every forward pass.
    """

    path: tuple[str, ...]

    def choose(self, genotype: Any) -> None:
        """Set the cell that is computed from now on."""
        self.path = genotype.operations

    def term(self, edge: int, x: Tensor) -> Tensor:
        """The output of the chosen operation."""
        column = OPERATIONS.index(self.path[edge])
        return self.operations()[edge].candidates[column - 1](x) if column else x * 0
