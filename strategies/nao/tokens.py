"""Architectures as sequences of tokens, which NAO's encoder reads and its decoder writes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.coding import Code, Coding, Gene, Inputs

START = 0
"""The token that the decoder reads before the first one."""


@dataclass(frozen=True)
class Position:
    """A place in the sequence, and the tokens that may stand there.

    Attributes:
        first: the first token; they are consecutive.
        count: number of tokens.
        other: place of the node's first input, where this is its second: the two must differ.
    """

    first: int
    count: int
    other: int | None = None


@dataclass(frozen=True)
class _Node:
    """Places of a node's inputs, and of its operations where the space has them."""

    gene: int
    inputs: tuple[int, int]
    operations: tuple[int, int] | None
    cell: str

    @property
    def edges(self) -> tuple[list[int], list[int]]:
        """Places of the node's two edges, each an input and its operation."""
        places = [self.inputs, self.operations] if self.operations else [self.inputs]
        return [first for first, _ in places], [second for _, second in places]


class Tokens:
    """Translates the codes of a space to sequences and back.

    A node is its first input, the operation on it, its second input and the operation on that; its edges may
    come in either order. A choice that belongs to no node is one token. Equal lists of values, such as the
    operations of all edges, have the same tokens.

    Attributes:
        positions: the places of a sequence.
        vocabulary: number of tokens, with that of the start.
        per_step: number of tokens that the encoder reads at a time: 2 where inputs and operations alternate
            throughout, else 1.
    """

    def __init__(self, coding: Coding) -> None:
        self.coding = coding
        self.positions: list[Position] = []
        self._nodes: list[_Node] = []
        self._places: dict[int, int] = {}
        states = max((gene.states for gene in coding.genes if isinstance(gene, Inputs)), default=0)
        self.vocabulary = 1 + states
        self._blocks: dict[object, int] = {}
        operations = {
            index
            for gene in coding.genes
            if isinstance(gene, Inputs)
            for index in coding.operations_of(gene) or ()
        }
        for index, gene in enumerate(coding.genes):
            if isinstance(gene, Inputs):
                self._add_node(index, gene)
            elif index not in operations:
                self._places[index] = self._add_choice(gene)
        covered = sum(4 for node in self._nodes if node.operations)
        self.per_step = 2 if covered == len(self.positions) else 1

    @property
    def length(self) -> int:
        """Number of tokens of a sequence."""
        return len(self.positions)

    def encode(self, code: Code) -> list[int]:
        """The sequence of a code, in which the edges of every node are in the order of their inputs."""
        sequence = [START] * self.length
        for index, place in self._places.items():
            sequence[place] = self.positions[place].first + code[index]
        for node in self._nodes:
            gene = self.coding.genes[node.gene]
            assert isinstance(gene, Inputs)
            for place, state in zip(node.inputs, gene.pairs[code[node.gene]], strict=True):
                sequence[place] = self.positions[place].first + state
        return sequence

    def decode(self, sequence: Sequence[int]) -> Code:
        """The code of a sequence whose tokens are allowed in their places."""
        values = [token - position.first for token, position in zip(sequence, self.positions, strict=True)]
        code = [0] * len(self.coding.genes)
        for index, place in self._places.items():
            code[index] = values[place]
        for node in self._nodes:
            gene = self.coding.genes[node.gene]
            assert isinstance(gene, Inputs)
            pair = [values[place] for place in node.inputs]
            code[node.gene] = gene.pairs.index((min(pair), max(pair)))
            if node.operations and pair[0] > pair[1]:
                first, second = self.coding.operations_of(gene) or (0, 0)
                code[first], code[second] = code[second], code[first]
        return tuple(code)

    def swapped(self, sequence: Sequence[int], rng: np.random.Generator) -> list[int]:
        """The same architecture, with the edges of one node of each cell in the other order."""
        swapped = list(sequence)
        for _, nodes in itertools.groupby(self._nodes, key=lambda node: node.cell):
            cell = list(nodes)
            for one, other in zip(*cell[rng.integers(len(cell))].edges, strict=True):
                swapped[one], swapped[other] = sequence[other], sequence[one]
        return swapped

    def _add_node(self, index: int, gene: Inputs) -> None:
        operations = self.coding.operations_of(gene)
        inputs: list[int] = []
        for slot in range(2):
            self.positions.append(Position(1, gene.states, inputs[0] if inputs else None))
            inputs.append(self.length - 1)
            if operations:
                self._places[operations[slot]] = self._add_choice(self.coding.genes[operations[slot]])
        places = (self._places[operations[0]], self._places[operations[1]]) if operations else None
        cell = gene.labels[0].rsplit("/", maxsplit=1)[0]
        self._nodes.append(_Node(index, (inputs[0], inputs[1]), places, cell))

    def _add_choice(self, gene: Gene) -> int:
        """Add a place for one of several values; returns its number."""
        values = getattr(gene, "values", None) or getattr(gene, "subsets", None)
        key = gene.size if values is None else tuple(map(str, values))
        if key not in self._blocks:
            self._blocks[key] = self.vocabulary
            self.vocabulary += gene.size
        self.positions.append(Position(self._blocks[key], gene.size))
        return self.length - 1
