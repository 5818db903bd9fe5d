"""Architectures of any NNI space as vectors of small integers, for random draws, mutation and crossover."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, INPUTS, KINDS
from search_spaces.nas_bench_201 import space as nas_bench_201
from search_spaces.nas_bench_201.genotype import LABELS
from search_spaces.nni_api import Categorical, CategoricalMultiple
from search_spaces.space import DistinctInputs, OperationsOfEdges, own_genotype

Code = tuple[int, ...]
"""One architecture: the value of each gene, from 0 to the gene's size minus 1."""


@dataclass(frozen=True)
class Choice:
    """A gene that selects one of several values."""

    label: str
    values: Sequence[Any]

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    def sample(self, value: int) -> dict[str, Any]:
        """The gene's part of an NNI sample."""
        return {self.label: self.values[value]}

    def neighbours(self, value: int) -> list[int]:
        """All other values."""
        return [other for other in range(self.size) if other != value]


@dataclass(frozen=True)
class Inputs:
    """A gene that selects the two inputs of a node: one of the pairs of earlier states."""

    labels: tuple[str, str]
    states: int

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of distinct states, in the order of their numbers."""
        return list(itertools.combinations(range(self.states), 2))

    @property
    def size(self) -> int:
        """Number of pairs."""
        return self.states * (self.states - 1) // 2

    def sample(self, value: int) -> dict[str, Any]:
        """The gene's part of an NNI sample."""
        return {label: [state] for label, state in zip(self.labels, self.pairs[value], strict=True)}

    def neighbours(self, value: int) -> list[int]:
        """The pairs that share one state with this one."""
        now = set(self.pairs[value])
        return [index for index, pair in enumerate(self.pairs) if len(now & set(pair)) == 1]


@dataclass(frozen=True)
class EdgeChoice:
    """A gene that selects one of the operations of the edge along which a node reads an input.

    Its value is the operation's number among those of that edge, which stays valid where the input moves.
    """

    label: str
    input_label: str
    choices: Sequence[Sequence[str]]

    @property
    def size(self) -> int:
        """Number of operations of an edge."""
        return len(self.choices[0])

    def sample(self, value: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The gene's part of an NNI sample, of which `inputs` has the state that is read."""
        return {self.label: self.choices[inputs[self.input_label][0]][value]}

    def neighbours(self, value: int) -> list[int]:
        """All other values."""
        return [other for other in range(self.size) if other != value]


@dataclass(frozen=True)
class Selection:
    """A gene that selects several values, or one that NNI writes as a list: the input of an `InputChoice`."""

    label: str
    subsets: Sequence[tuple[Any, ...]]

    @property
    def size(self) -> int:
        """Number of subsets that may be selected."""
        return len(self.subsets)

    def sample(self, value: int) -> dict[str, Any]:
        """The gene's part of an NNI sample."""
        return {self.label: list(self.subsets[value])}

    def neighbours(self, value: int) -> list[int]:
        """The subsets of which one value is another."""
        now = set(self.subsets[value])
        return [index for index, subset in enumerate(self.subsets) if len(now.difference(subset)) == 1]


Gene = Choice | EdgeChoice | Inputs | Selection


@dataclass(frozen=True)
class Coding:
    """The genes of a space: a bijection between vectors within the genes' sizes and architectures.

    The two inputs of a node are one gene, so that crossover never makes a node that reads a state twice.
    """

    genes: tuple[Gene, ...]

    @classmethod
    def of(cls, mutables: Mapping[str, Any]) -> Coding:
        """The coding of a space.

        Args:
            mutables: choices of the space by label, from `simplify()` of an NNI space.

        Raises:
            UserError: the space has a kind of choice for which there is no gene.
        """
        paired = {
            choice.label: mutable
            for mutable in mutables.values()
            if isinstance(mutable, DistinctInputs)
            for choice in mutable.inputs
        }
        on_edges = {
            operation.label: EdgeChoice(operation.label, choice.label, mutable.choices)
            for mutable in mutables.values()
            if isinstance(mutable, OperationsOfEdges)
            for choice, operation in zip(mutable.inputs, mutable.operations, strict=True)
        }
        genes: list[Gene] = []
        for label, mutable in mutables.items():
            if isinstance(mutable, DistinctInputs):
                first, second = mutable.inputs
                genes.append(Inputs((first.label, second.label), len(first.values)))
            elif label in on_edges:
                genes.append(on_edges[label])
            elif isinstance(mutable, Categorical):
                genes.append(Choice(label, list(mutable.values)))
            elif label not in paired:
                genes.append(_selection(label, mutable))
        return cls(tuple(genes))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        return tuple(gene.size for gene in self.genes)

    def sample(self, code: Code) -> dict[str, Any]:
        """The NNI sample that freezes the space to `code`."""
        found: dict[str, Any] = {}
        for gene, value in zip(self.genes, code, strict=True):
            found |= gene.sample(value, found) if isinstance(gene, EdgeChoice) else gene.sample(value)
        return found

    def random(self, rng: np.random.Generator) -> Code:
        """A uniform draw over the architectures."""
        return tuple(int(value) for value in rng.integers(self.sizes))

    def mutated(self, code: Code, rng: np.random.Generator) -> Code:
        """A copy of `code` with one mutation, as in regularized evolution (Real et al., AAAI 2019).

        Where the space has both, inputs and choices (of operations) mutate with equal probability: one input
        of a node moves to a state that the node does not read yet, or one choice takes another value.
        """
        kinds = [
            movable
            for kind in (Choice | EdgeChoice, Inputs | Selection)
            if (
                movable := [
                    index
                    for index, gene in enumerate(self.genes)
                    if isinstance(gene, kind) and gene.neighbours(code[index])
                ]
            )
        ]
        movable = kinds[rng.integers(len(kinds))]
        index = movable[rng.integers(len(movable))]
        values = self.genes[index].neighbours(code[index])
        return (*code[:index], values[rng.integers(len(values))], *code[index + 1 :])

    def neighbours(self, code: Code) -> list[Code]:
        """All architectures that differ from `code` in one choice: an operation, or one input of a node.

        An input that moves keeps its operation, and so does the input of the same node that stays.
        """
        return [
            self._moved(code, index, value)
            for index, gene in enumerate(self.genes)
            for value in gene.neighbours(code[index])
        ]

    def _moved(self, code: Code, index: int, value: int) -> Code:
        """A copy of `code` with another value of one gene."""
        moved = list(code)
        moved[index] = value
        gene = self.genes[index]
        if isinstance(gene, Inputs) and (operations := self.operations_of(gene)):
            before, after = gene.pairs[code[index]], gene.pairs[value]
            (kept,) = set(before) & set(after)
            if before.index(kept) != after.index(kept):  # a pair is sorted, so the two have changed places
                first, second = operations
                moved[first], moved[second] = code[second], code[first]
        return tuple(moved)

    def operations_of(self, gene: Inputs) -> tuple[int, int] | None:
        """Indices of the genes that select the operations of a node's two inputs, as in NNI's `Cell`.

        None where there are none: `normal/input_2_0` has its operation in `normal/op_2_0`.
        """
        operations = Choice | EdgeChoice
        places = {gene.label: index for index, gene in enumerate(self.genes) if isinstance(gene, operations)}
        first, second = (places.get("op_".join(label.rsplit("input_", maxsplit=1))) for label in gene.labels)
        return None if first is None or second is None else (first, second)


def _selection(label: str, mutable: Any) -> Selection:
    """The gene of an NNI choice of a fixed number of values.

    Raises:
        UserError: it is another kind of choice.
    """
    if not isinstance(mutable, CategoricalMultiple) or mutable.n_chosen is None:
        raise UserError(
            f"{label} is a {type(mutable).__name__}, which these strategies cannot search: they need choices "
            "with a list of values, such as nni.choice, LayerChoice, and InputChoice with n_chosen"
        )
    return Selection(label, list(itertools.combinations(mutable.values, mutable.n_chosen)))


def decoder(mutables: Mapping[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """What turns an NNI sample of a space into its architecture.

    That is the genotype where the space is one of cells of DARTS or NAS-Bench-201, or contains one, and else
    the sample itself.

    Args:
        mutables: choices of the space by label, from `simplify()` of an NNI space.
    """
    prefixes = {label.removesuffix(LABELS[0]) for label in mutables if label.endswith(LABELS[0])}
    if len(prefixes) == 1:
        return partial(nas_bench_201.own_genotype, prefix=prefixes.pop())
    first = f"{KINDS[0]}/input_{CONCAT[0]}_0"
    pairs = [mutable for mutable in mutables.values() if isinstance(mutable, DistinctInputs)]
    firsts = [pair.inputs[0].label for pair in pairs]
    prefixes = {label.removesuffix(first) for label in firsts if label.endswith(first)}
    if len(prefixes) != 1:
        return dict
    nodes = max(len(pair.inputs[0].values) for pair in pairs) - INPUTS + 1
    return partial(own_genotype, prefix=prefixes.pop(), nodes=nodes)
