"""The search space of NAS-Bench-201 (Dong and Yang, ICLR 2020): one cell, five operations on six edges."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from search_spaces.base import AbstractGenotype, Edge, NodeInputs, Space
from search_spaces.errors import UserError
from search_spaces.nas_bench_201.genotype import EDGES, KIND, NODES, OPERATIONS, NasBench201Genotype
from search_spaces.nas_bench_201.geometry import blocks

if TYPE_CHECKING:
    from search_spaces.model_space import CellSpace, SearchTimeCell
    from search_spaces.parts import Part


class NasBench201(Space):
    """One cell for a network of three stages: an operation on each of the six edges between four nodes.

    Between the stages two residual blocks, which are not searched, halve the size. `layers` counts them, as
    the authors' code does: 17 for five cells a stage.
    """

    name: ClassVar[str] = "nas_bench_201"
    genotype_class: ClassVar[type[AbstractGenotype]] = NasBench201Genotype
    mark: ClassVar[str] = "~0|"
    chooses_inputs: ClassVar[bool] = False
    network: ClassVar[str] = "nastransfer_nni.models.nas_bench_201:NasBench201Model"
    plain_network: ClassVar[str] = "search_spaces.nas_bench_201.network:NasBench201Network"
    has_partial_cell: ClassVar[bool] = False

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the columns of a table."""
        return OPERATIONS

    @property
    def node_inputs(self) -> tuple[NodeInputs, ...]:
        """A node reads every earlier one, and keeps all of these edges."""
        return tuple(NodeInputs(edges=node, kept=node) for node in NODES)

    def genotype(self, edges: Mapping[str, Sequence[Edge]]) -> NasBench201Genotype:
        """The cell with these edges, node by node."""
        states = [state for _, state in edges[KIND]]
        assert states == [state for _, state in EDGES], states
        return NasBench201Genotype(tuple(name for name, _ in edges[KIND]))

    def random(self, rng: np.random.Generator) -> NasBench201Genotype:
        """Draw uniformly over all 15,625 cells, those without a path from input to output included."""
        return NasBench201Genotype.random(rng)

    def check_size(self, width: int, layers: int, stem: str) -> None:
        """Refuse a size that no network of this space has; the arguments are those of `blocks`."""
        blocks(width, layers, stem)

    def model_space(
        self, width: int, layers: int, num_classes: int, stem: str = "cifar", auxiliary: bool = False
    ) -> CellSpace:
        """The NNI model space at a size; the arguments are those of the final network."""
        make = _load("space").NasBench201Space
        space: CellSpace = make(width, layers, num_classes, stem, auxiliary)
        return space

    def mixed_cell(self, cell: Any, is_plain: bool = True, parts: int = 1) -> SearchTimeCell:
        """The cell that adds up all candidates; there is only the plain one, on all channels.

        Raises:
            UserError: it shall process a part of the channels.
        """
        if parts > 1:
            raise UserError(f"the space {self.name} has no cells that process a part of the channels")
        made: SearchTimeCell = _load("cells").MixedCell(cell.geometry)
        return made

    def sampled_cell(self, cell: Any) -> SearchTimeCell:
        """The cell that computes one sampled cell."""
        made: SearchTimeCell = _load("cells").SampledCell(cell.geometry)
        return made

    def parts(self, width: int, layers: int, num_classes: int, stem: str, image_size: int) -> list[Part]:
        """The parts of the final networks of a size."""
        parts: list[Part] = _load("parts").parts(width, layers, num_classes, stem, image_size)
        return parts


def _load(module: str) -> Any:
    """A module of this package that imports torch or NNI."""
    return importlib.import_module(f"search_spaces.nas_bench_201.{module}")
