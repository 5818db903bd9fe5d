"""The cell of NAS-Bench-201 (Dong and Yang, ICLR 2020): one operation on each edge between four nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from search_spaces.base import AbstractGenotype, Edge
from search_spaces.errors import UserError, unknown

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations of an edge, in the order of the columns of the alphas, as in the authors' code."""

KIND = "cell"
"""The name of the one kind of cell."""

NODES = (1, 2, 3)
"""The nodes that add up edges; node 0 is the input of the cell, and node 3 its output."""

EDGES = tuple((node, state) for node in NODES for state in range(node))
"""Every edge as (the node that it enters, the node that it reads), in the order of the cell's text."""

LABELS = tuple(f"{KIND}/op_{node}_{state}" for node, state in EDGES)
"""The labels of the operations in an NNI sample."""

COUNT = len(OPERATIONS) ** len(EDGES)
"""Number of cells: 15,625."""

FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
"""How a cell is written."""

_NODE = r"\|(?:[^|~+\s]*~[^|~+\s]*\|)+"
_CELL = re.compile(rf"{_NODE}(?:\+{_NODE})*")
_MAX_LINES = 5


@dataclass(frozen=True)
class NasBench201Genotype(AbstractGenotype):
    """A cell of NAS-Bench-201, written as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`.

    Attributes:
        operations: the operation of each of `EDGES`.

    Raises:
        UserError: there are not six operations, or one is not known.
    """

    kinds: ClassVar[tuple[str, ...]] = (KIND,)
    parameter_free: ClassVar[frozenset[str]] = frozenset({"none", "skip_connect", "avg_pool_3x3"})

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != len(EDGES):
            raise UserError(
                f"a cell of NAS-Bench-201 has {len(EDGES)} operations, not {len(self.operations)}"
            )
        for name in self.operations:
            if name not in OPERATIONS:
                raise unknown("operation", name, OPERATIONS)

    def edges(self, kind: str) -> tuple[Edge, ...]:
        """The operations with the nodes that they read, in the order of `EDGES`."""
        assert kind == KIND, kind
        return tuple(zip(self.operations, (state for _, state in EDGES), strict=True))

    @property
    def parameter_free_share(self) -> float:
        """Fraction of the operations that have no parameters."""
        return sum(name in self.parameter_free for name in self.operations) / len(self.operations)

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Draw uniformly over all cells."""
        return cls(tuple(OPERATIONS[index] for index in rng.integers(len(OPERATIONS), size=len(EDGES))))

    @classmethod
    def all(cls) -> Iterator[Self]:
        """All cells, in the order in which a counter with the digits of `OPERATIONS` passes them."""
        for index in np.ndindex(*[len(OPERATIONS)] * len(EDGES)):
            yield cls(tuple(OPERATIONS[column] for column in index))

    def to_sample(self) -> dict[str, Any]:
        """The NNI sample: `{"cell/op_1_0": "nor_conv_3x3", ...}`."""
        return dict(zip(LABELS, self.operations, strict=True))

    @classmethod
    def from_sample(cls, sample: Mapping[str, Any]) -> Self:
        """Read an NNI sample.

        Raises:
            UserError: names the label that is missing, unknown or does not fit.
        """
        if foreign := sorted(set(sample) - set(LABELS)):
            raise unknown("label of the sample", foreign[0], LABELS)
        if missing := [label for label in LABELS if label not in sample]:
            raise UserError(f"the sample lacks {missing[0]!r}")
        return cls(tuple(sample[label] for label in LABELS))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `{"cell": "|nor_conv_3x3~0|+|..."}`."""
        return {KIND: str(self)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            UserError: says what does not fit.
        """
        if foreign := sorted(set(value) - {KIND}):
            raise unknown("genotype key", foreign[0], [KIND])
        if not isinstance(text := value.get(KIND), str):
            raise UserError(f"{KIND!r} must be a text such as {FORM}")
        return cls.from_text(text)

    def __str__(self) -> str:
        edges = iter(self.operations)
        return "+".join("".join(f"|{next(edges)}~{state}" for state in range(node)) + "|" for node in NODES)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the text of a cell, which may stand anywhere in a log, and more than once.

        Raises:
            UserError: says what is no cell, or in which lines different ones stand.
        """
        lines: dict[Self, int] = {}
        for found in _CELL.finditer(text):
            line = 1 + text.count("\n", 0, found.start())
            try:
                lines.setdefault(cls(tuple(_operations(found[0]))), line)
            except UserError as error:
                where = f"line {line}: " if "\n" in text.strip() else ""
                raise UserError(f"{where}{error}") from None
        if not lines:
            raise UserError(f"no cell of NAS-Bench-201 in the text; one is written {FORM}")
        if len(lines) > 1:
            first = ", ".join(map(str, list(lines.values())[:_MAX_LINES]))
            raise UserError(
                f"holds {len(lines)} different cells, in lines {first}; give the one that is meant"
            )
        return next(iter(lines))


def _operations(text: str) -> Iterable[str]:
    """The operations of a cell's text, in the order of `EDGES`; those of a node may stand in any order.

    Raises:
        UserError: it does not have one operation for each edge.
    """
    nodes = [[edge.partition("~") for edge in node.strip("|").split("|")] for node in text.split("+")]
    read = {(node, state): name for node, edges in enumerate(nodes, start=1) for name, _, state in edges}
    wanted = [(node, str(state)) for node, state in EDGES]
    if sum(map(len, nodes)) != len(wanted) or set(read) != set(wanted):
        raise UserError(f"{text[:200]} is no cell of NAS-Bench-201, which is written {FORM}")
    return [read[edge] for edge in wanted]
