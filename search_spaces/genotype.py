"""The genotype of a DARTS cell pair: immutable, comparable, convertible to and from every form in use."""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
import reprlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from search_spaces.base import AbstractGenotype, Edge, NodeInputs, strongest
from search_spaces.errors import UserError, unknown

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operations of an exported cell, in the order that is used everywhere."""

KNOWN = (*OPERATIONS, "noise")
"""The operations of any cell: `noise` is one of the space S4 of RobustDARTS (Zela et al., ICLR 2020)."""

CANDIDATES = ("none", *OPERATIONS)
"""The candidates of every edge in a differentiable search, in the order of the columns of the alphas."""

PARAMETER_FREE = frozenset({"max_pool_3x3", "avg_pool_3x3", "skip_connect", "noise"})
"""Pooling, skips and noise. A skip of stride 2 does have weights; it counts by its name, as elsewhere."""

KINDS = ("normal", "reduce")
NODES = 4
INPUTS = 2
"""States 0 and 1: the outputs of the two cells before this one."""
CONCAT = tuple(range(INPUTS, INPUTS + NODES))
"""The states that a cell concatenates: its nodes."""

EDGES = sum(CONCAT)
"""Edges of a cell in a differentiable search: one from every earlier state to each node, 14 in all."""


def concat(nodes: int) -> tuple[int, ...]:
    """The states that a cell of so many nodes concatenates: its nodes."""
    return tuple(range(INPUTS, INPUTS + nodes))


def slots(nodes: int) -> list[str]:
    """The two inputs of each node, by number of the node and of the input, as NNI's `Cell` labels them."""
    return [f"{node}_{slot}" for node in concat(nodes) for slot in (0, 1)]


def labels(nodes: int) -> list[str]:
    """The labels of a cell pair in an NNI sample: `normal/op_2_0`, `normal/input_2_0`, ..."""
    return [f"{kind}/{what}_{slot}" for kind in KINDS for slot in slots(nodes) for what in ("op", "input")]


_LABEL = re.compile(rf"(?:{'|'.join(KINDS)})/(?:op|input)_(\d{{1,3}})_[01]")


@dataclass(frozen=True, eq=False)
class Genotype(AbstractGenotype):
    """The two cells of an architecture: two edges for each of their nodes, of which DARTS has four.

    Edges keep the order in which they were given; two genotypes are equal when they differ only in the order
    of a node's two edges.

    Attributes:
        normal: the edges of the normal cell, node by node.
        reduce: the edges of the reduction cell, node by node.

    Raises:
        UserError: says which cell and node does not fit, and what is allowed.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    normal: tuple[Edge, ...]
    reduce: tuple[Edge, ...]

    def __post_init__(self) -> None:
        for kind in KINDS:
            object.__setattr__(self, kind, _checked(kind, getattr(self, kind)))
        if len(self.normal) != len(self.reduce):
            raise UserError(
                f"the normal cell has {len(self.normal) // 2} nodes and the reduction cell "
                f"{len(self.reduce) // 2}; both must have as many"
            )

    def edges(self, kind: str) -> tuple[Edge, ...]:
        """The edges of `kind` in the order in which they were given."""
        edges: tuple[Edge, ...] = getattr(self, kind)
        return edges

    def nodes(self, kind: str) -> tuple[tuple[Edge, Edge], ...]:
        """The edges of `kind` node by node; those of a node are sorted by their input state."""
        edges = self.edges(kind)
        pairs = (sorted(edges[i : i + 2], key=lambda edge: edge[1]) for i in range(0, len(edges), 2))
        return tuple((first, second) for first, second in pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genotype) and self._canonical() == other._canonical()

    def __hash__(self) -> int:
        return hash(self._canonical())

    def _canonical(self) -> tuple[tuple[tuple[Edge, Edge], ...], ...]:
        return tuple(self.nodes(kind) for kind in KINDS)

    @property
    def parameter_free_share(self) -> float:
        """Fraction of the operations without parameters (pooling, skips); high after a collapse."""
        names = [operation for operation, _ in self.normal + self.reduce]
        return sum(name in PARAMETER_FREE for name in names) / len(names)

    @classmethod
    def random(cls, rng: np.random.Generator) -> Genotype:
        """Draw uniformly over the cells: two distinct inputs per node, an operation for each."""

        def cell() -> tuple[Edge, ...]:
            return tuple(
                (OPERATIONS[rng.integers(len(OPERATIONS))], int(state))
                for node in CONCAT
                for state in sorted(rng.choice(node, size=2, replace=False))
            )

        return cls(normal=cell(), reduce=cell())

    @classmethod
    def from_mixture(cls, normal: npt.ArrayLike, reduce: npt.ArrayLike) -> Genotype:
        """Derive the genotype from mixture weights (Liu, Simonyan, Yang, ICLR 2019, section 2.4).

        Each node keeps the two incoming edges whose best operation other than `none` has the largest weight,
        each with that operation.

        Args:
            normal: weights [14, 8] after softmax for the normal cell: one row per edge (node by node, then by
                input state), one column per candidate in the order of `CANDIDATES`.
            reduce: weights [14, 8] for the reduction cell.
        """

        def cell(mixture: npt.ArrayLike) -> tuple[Edge, ...]:
            weights = np.asarray(mixture, dtype=float)[:, 1:]
            assert weights.shape == (EDGES, len(OPERATIONS)), weights.shape
            chosen = strongest(weights, [NodeInputs(edges=node, kept=2) for node in CONCAT])
            return tuple((OPERATIONS[column], state) for column, state in chosen)

        return cls(normal=cell(normal), reduce=cell(reduce))

    def to_sample(self) -> dict[str, Any]:
        """The NNI sample that freezes `DartsSpace` to this genotype."""
        sample: dict[str, Any] = {}
        for kind in KINDS:
            for index, (operation, state) in enumerate(getattr(self, kind)):
                node, slot = INPUTS + index // 2, index % 2
                sample[f"{kind}/op_{node}_{slot}"] = operation
                sample[f"{kind}/input_{node}_{slot}"] = [state]
        return sample

    @classmethod
    def from_sample(cls, sample: Mapping[str, Any]) -> Genotype:
        """The genotype of an NNI sample: `{"normal/op_2_0": "sep_conv_3x3", "normal/input_2_0": [0], ...}`.

        An input may be a number or a list of one.

        Raises:
            UserError: names the label that is missing, unknown or does not fit.
        """
        known = labels(nodes_of(sample))
        if foreign := sorted(set(sample) - set(known)):
            raise UserError(f"unknown label {foreign[0]!r} in the sample")
        if missing := [label for label in known if label not in sample]:
            raise UserError(f"the sample lacks {missing[0]!r}")

        def state(label: str) -> Any:
            value = sample[label]
            if isinstance(value, Sequence) and not isinstance(value, str):
                if len(value) != 1:
                    raise UserError(f"{label} must name one state, not {_shown(value)}")
                return value[0]
            return value

        def cell(kind: str) -> tuple[Edge, ...]:
            return tuple(
                (sample[f"{kind}/op_{slot}"], state(f"{kind}/input_{slot}"))
                for slot in slots(nodes_of(sample))
            )

        return cls(normal=cell("normal"), reduce=cell("reduce"))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as in architecture.json."""
        value: dict[str, Any] = {}
        for kind in KINDS:
            value[kind] = [list(edge) for edge in getattr(self, kind)]
            value[f"{kind}_concat"] = list(concat(len(self.nodes(kind))))
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Genotype:
        """Read the JSON form; `*_concat` may be missing.

        Raises:
            UserError: names the part that is missing, unknown or does not fit.
        """
        allowed = sorted([*KINDS, *(f"{kind}_concat" for kind in KINDS)])
        if foreign := sorted(set(value) - set(allowed)):
            raise unknown("genotype key", foreign[0], allowed)
        for kind in KINDS:
            if kind not in value:
                raise UserError(f"the genotype lacks {kind!r}")
            states = concat(_count(value[kind]) // 2 or NODES)
            given = value.get(f"{kind}_concat", states)
            if not isinstance(given, Sequence) or tuple(given) != states:
                raise UserError(f"{kind}_concat must be {list(states)}, not {_shown(given)}")
        return cls(normal=value["normal"], reduce=value["reduce"])

    def __str__(self) -> str:
        cells = ", ".join(
            f"{kind}={list(self.edges(kind))}, {kind}_concat={list(concat(len(self.nodes(kind))))}"
            for kind in KINDS
        )
        return f"Genotype({cells})"

    @classmethod
    def from_text(cls, text: str) -> Genotype:
        """Read the `Genotype(normal=[('sep_conv_3x3', 0), ...], ...)` that other code bases print.

        It may stand anywhere in a log or a file of code, and more than once. The text is parsed, never
        evaluated.

        Raises:
            UserError: says what does not read as a genotype, or in which lines different ones stand.
        """
        starts = [found.start() for found in re.finditer(r"\bGenotype\(", text)]
        if not starts:
            raise UserError("no Genotype(...) in the text")
        lines: dict[Genotype, int] = {}
        for start in starts:
            line = 1 + text.count("\n", 0, start)
            try:
                lines.setdefault(cls._from_call(_call(text, start)), line)
            except UserError as error:
                raise UserError(f"line {line}: {error}") from None
        if len(lines) > 1:
            raise UserError(
                f"holds {len(lines)} different genotypes, in lines {', '.join(map(str, lines.values()))}; "
                "give the one that is meant, as a file of its own or as text"
            )
        return next(iter(lines))

    @classmethod
    def _from_call(cls, text: str) -> Genotype:
        try:
            with warnings.catch_warnings(action="ignore"):
                call = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise UserError("the text after 'Genotype(' is not a single well-formed call") from None
        if (
            not isinstance(call, ast.Call)
            or call.args
            or any(keyword.arg is None for keyword in call.keywords)
        ):
            raise UserError("Genotype(...) must have named parts only: normal=..., reduce=...")
        return cls.from_dict(
            {str(keyword.arg): _literal(str(keyword.arg), keyword.value) for keyword in call.keywords}
        )


_TOKEN = re.compile(r"""[()]|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
"""A parenthesis, or a text in quotes, in which parentheses do not count."""


def _call(text: str, start: int) -> str:
    """The call that starts at `start`, up to the parenthesis that closes it."""
    depth = 0
    for token in _TOKEN.finditer(text, start, start + _MAX_CALL):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token[0] == ")":
            return text[start : token.end()]
    raise UserError("the text after 'Genotype(' ends before the call does")


_MAX_CALL = 20_000
"""Characters of the longest call that is read; a genotype's has under two thousand."""

_WRAPPERS = {"list", "tuple", "array", "tensor", "int", "int8", "int32", "int64", "intc", "str", "str_"}
"""What may stand around a value: constructors of Python, NumPy (which prints `np.int64(0)`) and torch."""

_MAX_RANGE = 1000


def _literal(name: str, node: ast.expr) -> Any:
    """The value of an expression of lists, texts, numbers, `range` and `_WRAPPERS`; nothing is evaluated."""
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_literal(name, part) for part in parts]
        case ast.Constant(value=str() | int() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            return -value
        case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=parts):
            values = [_literal(name, part) for part in parts]
            if function in _WRAPPERS and len(values) == 1:
                return values[0]
            if function == "range" and 1 <= len(values) <= 3 and all(isinstance(one, int) for one in values):
                with contextlib.suppress(ValueError, OverflowError):  # a step of 0
                    return list(range(*values)[:_MAX_RANGE])
    raise UserError(f"{name} is not a plain list of (operation, state) pairs")


def _shown(value: Any) -> str:
    """The value as text, cut where it is long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"


def _count(edges: Any) -> int:
    """Number of edges; 0 where they are no list of edges."""
    return len(edges) if isinstance(edges, Sequence) and not isinstance(edges, str) else 0


def nodes_of(sample: Mapping[str, Any]) -> int:
    """Number of nodes of the cells in an NNI sample, by its labels; that of DARTS where it has none."""
    found = {int(match[1]) for label in sample if (match := _LABEL.fullmatch(label))}
    nodes = next(node for node in itertools.count() if INPUTS + node not in found)
    return nodes or NODES


def _checked(kind: str, edges: Any) -> tuple[Edge, ...]:
    """The edges as a tuple of (operation, state); a UserError says which one does not fit."""
    count = _count(edges)
    if count == 0 or count % 2:
        raise UserError(
            f"the {kind} cell must have {2 * NODES} (operation, state) pairs, or two for each of another "
            f"number of nodes, not {count or _shown(edges)}"
        )
    checked: list[Edge] = []
    for index, edge in enumerate(edges):
        node = INPUTS + index // 2
        where = f"{kind} cell, node {node}"
        if not isinstance(edge, Sequence) or isinstance(edge, str) or len(edge) != 2:
            raise UserError(f"{where}: {_shown(edge)} is not an (operation, state) pair")
        operation, state = edge
        if operation not in KNOWN:
            raise UserError(f"{where}: unknown operation {_shown(operation)}; known: {', '.join(KNOWN)}")
        if isinstance(state, bool) or not isinstance(state, int | np.integer) or not 0 <= state < node:
            raise UserError(f"{where}: reads state {_shown(state)}; it may read 0 to {node - 1}")
        if index % 2 and state == checked[-1][1]:
            raise UserError(f"{where}: reads state {state} twice; its two inputs must differ")
        checked.append((operation, int(state)))
    return tuple(checked)
