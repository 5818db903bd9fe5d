"""The cell space of DARTS (Liu, Simonyan, Yang, ICLR 2019), of any operations and number of nodes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from search_spaces.base import AbstractGenotype, Edge, Mask, NodeInputs, Space
from search_spaces.errors import UserError, unknown
from search_spaces.genotype import CANDIDATES, INPUTS, KINDS, KNOWN, NODES, Genotype
from search_spaces.geometry import MIN_LAYERS, CellGeometry, geometries

if TYPE_CHECKING:
    from search_spaces.model_space import CellSpace, SearchTimeCell
    from search_spaces.parts import Part

NOISE = "noise"


def _names(value: Any) -> Any:
    """The names of `skip_connect+sep_conv_3x3`, or of a sequence."""
    return tuple(part.strip() for part in value.split("+")) if isinstance(value, str) else value


Operations = Annotated[
    tuple[str, ...], BeforeValidator(_names), PlainSerializer(lambda names: "+".join(names))
]
"""Names of operations, joined by `+` where they are text."""

OPERATIONS_HELP = (
    f"candidates of every edge, joined by +: {', '.join(('none', *KNOWN))}; none is never part of a cell "
    "that is found"
)


class DartsCells(Space):
    """A normal and a reduction cell; every node adds up two operations on two earlier states.

    Tables have the columns of DARTS, `CANDIDATES`, and `noise` after them in a space that has it.
    """

    name: ClassVar[str] = "darts"
    genotype_class: ClassVar[type[AbstractGenotype]] = Genotype
    mark: ClassVar[str] = "Genotype("
    network: ClassVar[str] = "nastransfer_nni.models.darts:DartsModel"
    plain_network: ClassVar[str] = "search_spaces.network:DartsNetwork"

    operations: Operations = Field(CANDIDATES, description=OPERATIONS_HELP)
    nodes: int = Field(NODES, ge=1, le=16, description="number of nodes of a cell")

    @field_validator("operations")
    @classmethod
    def _operations_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = ("none", *KNOWN)
        for name in names:
            if name not in known:
                raise unknown("operation", name, known)
            if names.count(name) > 1:
                raise UserError(f"{name} is listed twice")
        if not set(names) - {"none"}:
            raise UserError("a cell needs an operation other than none")
        return tuple(sorted(names, key=known.index))

    @model_validator(mode="after")
    def _has_several_cells(self) -> Self:
        if self.nodes == 1 and len(set(self.operations) - {"none"}) == 1:
            raise UserError("one node with one operation is one cell, in which there is nothing to search")
        return self

    # The form of the supernet

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the columns of a table: those of DARTS, and `noise` where the space has it."""
        return (*CANDIDATES, NOISE) if NOISE in self.operations else CANDIDATES

    @property
    def node_inputs(self) -> tuple[NodeInputs, ...]:
        """A node may read every earlier state, and keeps two of them."""
        return tuple(NodeInputs(edges=node, kept=2) for node in range(INPUTS, INPUTS + self.nodes))

    @property
    def is_uniform(self) -> bool:
        """Whether every edge has the same candidates."""
        return all((mask == mask[0]).all() for mask in self.offered.values())

    def operations_of(self, kind: str, edge: int) -> tuple[str, ...]:
        """The candidates of an edge, counted node by node, then by state."""
        return self.operations

    @cached_property
    def offered(self) -> dict[str, Mask]:
        """Which candidates each edge has in a supernet, [edges, candidates] for each kind."""
        return {
            kind: np.array(
                [
                    [name in self.operations_of(kind, edge) for name in self.candidates]
                    for edge in range(self.edges)
                ]
            )
            for kind in KINDS
        }

    @cached_property
    def derivable(self) -> dict[str, Mask]:
        """Those of `offered`, without `none`."""
        is_operation = np.array(self.candidates) != "none"
        return {kind: mask & is_operation for kind, mask in self.offered.items()}

    @property
    def draws_noise(self) -> bool:
        """Whether `noise` is among the operations."""
        return NOISE in self.operations

    @property
    def has_fast_cell(self) -> bool:
        """The fast cell is written for the four nodes and the seven operations of DARTS."""
        return self.nodes == NODES and not self.draws_noise

    # Cells

    def genotype(self, edges: Mapping[str, Sequence[Edge]]) -> Genotype:
        """The cells with these edges, node by node."""
        return Genotype(*(tuple(edges[kind]) for kind in KINDS))

    def choices(self, kind: str, node: int, state: int) -> list[str]:
        """The operations that a cell may have between a state and a node, both counted from 0."""
        return self._choices[kind][sum(range(INPUTS, node)) + state]

    @cached_property
    def _choices(self) -> dict[str, list[list[str]]]:
        """The operations of every edge that a cell may have."""
        return {
            kind: [[self.candidates[column] for column in np.flatnonzero(row)] for row in mask]
            for kind, mask in self.derivable.items()
        }

    def random(self, rng: np.random.Generator) -> Genotype:
        """Draw uniformly over the cells: two distinct inputs per node, an operation for each."""
        edges = {}
        for kind in KINDS:
            edges[kind] = [
                ((names := self.choices(kind, node, int(state)))[rng.integers(len(names))], int(state))
                for node in range(INPUTS, INPUTS + self.nodes)
                for state in sorted(rng.choice(node, size=2, replace=False))
            ]
        return self.genotype(edges)

    @classmethod
    def around(cls, genotype: AbstractGenotype) -> Space:
        """The space of DARTS with as many nodes, and with `noise` where the genotype has it."""
        assert isinstance(genotype, Genotype)
        names = {name for kind in KINDS for name, _ in genotype.edges(kind)}
        operations = (*CANDIDATES, NOISE) if NOISE in names else CANDIDATES
        return DartsCells(operations=operations, nodes=len(genotype.nodes("normal")))

    def contains(self, genotype: AbstractGenotype) -> bool:
        """Whether the number of nodes and the operation of every edge are those of this space."""
        assert isinstance(genotype, Genotype)
        return all(
            len(genotype.nodes(kind)) == self.nodes
            and all(
                name in self.choices(kind, node, state)
                for node, pair in enumerate(genotype.nodes(kind), start=INPUTS)
                for name, state in pair
            )
            for kind in KINDS
        )

    # Networks

    def geometries(self, width: int, layers: int, stem: str) -> list[CellGeometry]:
        """Geometry of every cell of a network, from the first to the last; arguments as `check_size`."""
        return geometries(width, layers, stem, self.nodes, self.candidates[1:])

    def check_size(self, width: int, layers: int, stem: str) -> None:
        """Refuse a size that no network of this space has; the arguments are those of `geometries`."""
        self.geometries(width, layers, stem)

    def check_supernet(self, width: int, layers: int, stem: str) -> None:
        """Refuse a supernet of another size, or without cells of both kinds."""
        if layers < MIN_LAYERS:
            raise UserError(
                f"--layers must be at least {MIN_LAYERS}, so that the network has cells of both kinds"
            )
        self.check_size(width, layers, stem)

    def model_space(
        self, width: int, layers: int, num_classes: int, stem: str = "cifar", auxiliary: bool = False
    ) -> CellSpace:
        """The NNI model space at a size; the arguments are those of the final network."""
        make = importlib.import_module("search_spaces.space").DartsSpace
        space: CellSpace = make(width, layers, num_classes, stem, auxiliary, space=self.text)
        return space

    def mixed_cell(self, cell: Any, is_plain: bool = True, parts: int = 1) -> SearchTimeCell:
        """The plain or the fast cell that adds up all candidates, on all channels or on a part of them."""
        is_partial = parts > 1
        module = "fast" if not is_plain else "partial" if is_partial else "mixed"
        name = f"{'' if is_plain else 'Fast'}{'Partial' if is_partial else 'Mixed' if is_plain else ''}Cell"
        make = getattr(importlib.import_module(f"search_spaces.cells.{module}"), name)
        made: SearchTimeCell = make(cell.geometry, *([parts] if is_partial else []))
        return made

    def sampled_cell(self, cell: Any) -> SearchTimeCell:
        """The cell that computes one sampled cell."""
        make = importlib.import_module("search_spaces.cells.sampled").SampledCell
        made: SearchTimeCell = make(cell.geometry)
        return made

    def parts(self, width: int, layers: int, num_classes: int, stem: str, image_size: int) -> list[Part]:
        """The parts of the final networks of a size."""
        make = importlib.import_module("search_spaces.parts").darts_parts
        parts: list[Part] = make(width, layers, num_classes, stem, image_size, nodes=self.nodes)
        return parts
