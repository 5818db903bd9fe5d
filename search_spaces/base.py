"""What every search space has: the cells that it holds, and the form of the supernet that searches them.

Importing this module imports neither torch nor NNI; a space loads them when a network is made.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from search_spaces.errors import UserError

if TYPE_CHECKING:
    from search_spaces.model_space import CellSpace, SearchTimeCell
    from search_spaces.parts import Part
    from search_spaces.sizes import EdgeCosts

Edge = tuple[str, int]
"""An operation and the state that is its input."""

Mask = npt.NDArray[np.bool_]


class AbstractGenotype(ABC):
    """The cells of an architecture: immutable, comparable, hashable and convertible to every form in use.

    `str` gives the form in which the literature prints it.

    Attributes:
        kinds: kinds of cell, the one whose skips count first.
    """

    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def edges(self, kind: str) -> tuple[Edge, ...]:
        """The operations of a kind of cell with the states that they read, node by node."""

    @property
    @abstractmethod
    def parameter_free_share(self) -> float:
        """Fraction of the operations that have no parameters."""

    @property
    def skips(self) -> int:
        """Number of skip connections in the cells, one of each kind."""
        return sum(name == "skip_connect" for kind in self.kinds for name, _ in self.edges(kind))

    @abstractmethod
    def to_sample(self) -> dict[str, Any]:
        """The NNI sample that freezes the space to this architecture."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as in architecture.json."""

    @classmethod
    @abstractmethod
    def from_sample(cls, sample: Mapping[str, Any]) -> Self:
        """Read an NNI sample.

        Raises:
            UserError: says what does not fit.
        """

    @classmethod
    @abstractmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            UserError: says what does not fit.
        """

    @classmethod
    @abstractmethod
    def from_text(cls, text: str) -> Self:
        """Read the form in which the literature prints it; it may stand anywhere in a text.

        Raises:
            UserError: says what does not fit.
        """


class NodeInputs(NamedTuple):
    """The edges that enter a node in a supernet, and how many of them an architecture keeps."""

    edges: int
    kept: int


class Space(BaseModel, ABC):
    """A search space: a frozen value that is chosen by text, such as `darts` or `darts:nodes=3`.

    A subclass declares its options as fields, as a strategy does. In a supernet a kind of cell has a table of
    weights with one row an edge (node by node, then by the state that it reads) and one column a candidate.

    Attributes:
        name: name of the space in the registry.
        genotype_class: class of the architectures.
        mark: text that stands in every architecture that is printed as the literature prints it.
        chooses_inputs: whether an architecture chooses which states a node reads, besides the operations.
        network: class of the final network with timm's interface, as `module:class`.
        plain_network: class of the same network in plain torch.
        has_partial_cell: whether candidates can process a part of the channels, as in PC-DARTS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    genotype_class: ClassVar[type[AbstractGenotype]]
    mark: ClassVar[str]
    chooses_inputs: ClassVar[bool] = True
    network: ClassVar[str]
    plain_network: ClassVar[str]
    has_partial_cell: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    # The form of the supernet

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of cell, the one whose skips count first."""
        return self.genotype_class.kinds

    @property
    @abstractmethod
    def candidates(self) -> tuple[str, ...]:
        """Names of the columns of a table; `none`, where there is one, is the first."""

    @property
    @abstractmethod
    def node_inputs(self) -> tuple[NodeInputs, ...]:
        """The edges that enter each node. The first node reads the inputs of the cell, and no other state."""

    @property
    def edges(self) -> int:
        """Number of rows of a table."""
        return sum(node.edges for node in self.node_inputs)

    @cached_property
    def offered(self) -> dict[str, Mask]:
        """Which candidates each edge has in a supernet, [edges, candidates] for each kind; here all."""
        return {kind: np.ones((self.edges, len(self.candidates)), dtype=bool) for kind in self.kinds}

    @cached_property
    def derivable(self) -> dict[str, Mask]:
        """Which candidates an architecture may have on each edge, [edges, candidates] for each kind."""
        return self.offered

    @property
    def is_complete(self) -> bool:
        """Whether every edge has every candidate."""
        return all(mask.all() for mask in self.offered.values())

    @property
    def draws_noise(self) -> bool:
        """Whether networks draw random numbers in evaluation, too."""
        return False

    @property
    def has_fast_cell(self) -> bool:
        """Whether the fast search-time cell computes this space; else the plain one does."""
        return False

    # Architectures

    @property
    def text(self) -> str:
        """The space as `--space` takes it, with the options that are not at their defaults."""
        options = ",".join(f"{name}={value}" for name, value in self.changed().items())
        return f"{self.name}:{options}" if options else self.name

    def changed(self) -> dict[str, Any]:
        """The options that are not at their defaults, as they are written."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @abstractmethod
    def genotype(self, edges: Mapping[str, Sequence[Edge]]) -> AbstractGenotype:
        """The architecture with these edges, node by node, for each kind of cell."""

    @abstractmethod
    def random(self, rng: np.random.Generator) -> AbstractGenotype:
        """Draw an architecture uniformly."""

    @classmethod
    def around(cls, genotype: AbstractGenotype) -> Space:
        """The space that an architecture without one is of; `genotype` is of `genotype_class`."""
        return cls()

    def contains(self, genotype: AbstractGenotype) -> bool:
        """Whether the architecture is one of this space; it is of `genotype_class`."""
        return True

    def check(self, genotype: AbstractGenotype) -> AbstractGenotype:
        """The architecture itself.

        Raises:
            UserError: it is not one of this space.
        """
        if not isinstance(genotype, self.genotype_class) or not self.contains(genotype):
            raise UserError(f"the architecture is not one of the space {self.text}: {genotype}")
        return genotype

    def from_sample(self, sample: Mapping[str, Any]) -> AbstractGenotype:
        """Read an NNI sample.

        Raises:
            UserError: says what does not fit.
        """
        return self.check(self.genotype_class.from_sample(sample))

    def from_dict(self, value: Mapping[str, Any]) -> AbstractGenotype:
        """Read the JSON form.

        Raises:
            UserError: says what does not fit.
        """
        return self.check(self.genotype_class.from_dict(value))

    def from_text(self, text: str) -> AbstractGenotype:
        """Read the form in which the literature prints it.

        Raises:
            UserError: says what does not fit.
        """
        return self.check(self.genotype_class.from_text(text))

    def derive(self, mixture: Mapping[str, npt.ArrayLike]) -> AbstractGenotype:
        """The architecture that a mixture stands for: the edges of the largest weights.

        Each node keeps the edges whose best derivable operations have the largest weights, each with that
        operation (Liu, Simonyan, Yang, ICLR 2019, section 2.4).

        Args:
            mixture: weights [edges, candidates] of each kind of cell.
        """
        edges = {}
        for kind in self.kinds:
            weights = np.where(self.derivable[kind], np.asarray(mixture[kind], dtype=float), -np.inf)
            chosen = strongest(weights, self.node_inputs)
            edges[kind] = [(self.candidates[column], state) for column, state in chosen]
        return self.genotype(edges)

    # Networks

    def check_size(self, width: int, layers: int, stem: str) -> None:
        """Refuse a size that no network of this space has.

        Args:
            width: channels of the first cell.
            layers: number of cells.
            stem: `cifar` or `imagenet`.

        Raises:
            UserError: says what does not fit.
        """

    def check_supernet(self, width: int, layers: int, stem: str) -> None:
        """Refuse a size that no supernet of this space has; the arguments are those of `check_size`."""
        self.check_size(width, layers, stem)

    @abstractmethod
    def model_space(
        self, width: int, layers: int, num_classes: int, stem: str = "cifar", auxiliary: bool = False
    ) -> CellSpace:
        """The NNI model space at a size; the arguments are those of the final network."""

    @abstractmethod
    def mixed_cell(self, cell: Any, is_plain: bool = True, parts: int = 1) -> SearchTimeCell:
        """The search-time cell that adds up all candidates by weight, in place of a cell of the model space.

        Args:
            cell: the cell of the model space.
            is_plain: whether it is the plain reference rather than the fast one.
            parts: one channel in `parts` is processed by the candidates.
        """

    @abstractmethod
    def sampled_cell(self, cell: Any) -> SearchTimeCell:
        """The search-time cell that computes one sampled architecture on shared weights."""

    @abstractmethod
    def parts(self, width: int, layers: int, num_classes: int, stem: str, image_size: int) -> list[Part]:
        """The parts of the final networks of a size, see `search_spaces.parts`."""

    def costs(
        self,
        width: int,
        layers: int,
        num_classes: int,
        stem: str,
        image_size: int,
        measure: Callable[[Part], int] | None = None,
    ) -> EdgeCosts:
        """A size of the final networks, as a sum over their parts.

        Args:
            width: channels of the first cell.
            layers: number of cells.
            num_classes: number of classes.
            stem: `cifar` or `imagenet`.
            image_size: height and width of the image in px.
            measure: size of one part; None: its multiply-adds.
        """
        sizes = importlib.import_module("search_spaces.sizes")
        parts = self.parts(width, layers, num_classes, stem, image_size)
        costs: EdgeCosts = sizes.PartSizes(self.kinds, parts, measure or sizes.part_mult_adds)
        return costs

    def build(self, genotype: AbstractGenotype, *, is_plain: bool = False, **options: Any) -> Any:
        """The final network of an architecture.

        Args:
            genotype: the architecture.
            is_plain: whether it is in plain torch, without timm's interface.
            **options: arguments of the class of the network, such as width, layers and num_classes.
        """
        module, _, name = (self.plain_network if is_plain else self.network).partition(":")
        return getattr(importlib.import_module(module), name)(genotype, **options)


def strongest(weights: npt.NDArray[np.floating], node_inputs: Sequence[NodeInputs]) -> list[tuple[int, int]]:
    """The columns of the largest weights, and the states that they read, node by node.

    Args:
        weights: weights [edges, candidates]; -inf where there is none.
        node_inputs: the edges that enter each node.
    """
    chosen: list[tuple[int, int]] = []
    for node in node_inputs:
        rows, weights = weights[: node.edges], weights[node.edges :]
        kept = sorted(np.argsort(-rows.max(axis=1), kind="stable")[: node.kept])
        chosen += [(int(rows[state].argmax()), int(state)) for state in kept]
    return chosen
