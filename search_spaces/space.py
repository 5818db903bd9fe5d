"""`DartsSpace`: the DARTS cell space as an NNI model space, built on NNI's own `Cell`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn, Self

from numpy.random import RandomState
from torch import Tensor, nn

from search_spaces.darts import DartsCells
from search_spaces.errors import UserError
from search_spaces.genotype import INPUTS, KINDS, NODES, Genotype, labels
from search_spaces.geometry import MIN_LAYERS, CellGeometry
from search_spaces.model_space import CellSpace, SearchedCell
from search_spaces.network import DartsNetwork, Stem
from search_spaces.nni_api import (
    Categorical,
    CategoricalMultiple,
    Cell,
    Constraint,
    ConstraintViolation,
    OneShotStrategy,
    PathSamplingCell,
    RandomOneShot,
    Sample,
    SampleValidationError,
    auto_label,
    label_scope,
)
from search_spaces.operations import operation, preprocess
from search_spaces.registry import DEFAULT, parse


class ConstraintUnsupported(UserError, NotImplementedError):
    """A tuner cannot search a space with a constraint; NNI handles its `NotImplementedError` where it can."""


class DistinctInputs(Constraint):  # type: ignore[misc]
    """Constraint that the two inputs of a node differ, which NNI's `Cell` does not have.

    Args:
        cell: label of the cell: `normal` or `reduce`, after any prefix.
        node: number of the node's state, 2 to 5.
    """

    def __init__(self, cell: str, node: int) -> None:
        with label_scope(cell):
            self.label = auto_label(f"distinct_inputs_{node}")
            self.inputs = [
                CategoricalMultiple(range(node), n_chosen=1, label=f"input_{node}_{k}") for k in (0, 1)
            ]

    def leaf_mutables(self, is_leaf: Callable[[Any], bool]) -> Iterator[Any]:
        """Yield the constraint, so that it can draw a valid pair, then its two inputs."""
        yield self
        for choice in self.inputs:
            yield from choice.leaf_mutables(is_leaf)

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        """Return None where the sample has both inputs and they differ, else the error."""
        for choice in self.inputs:
            if error := choice.check_contains(sample):
                return error
        first, second = (choice.freeze(sample)[0] for choice in self.inputs)
        if first == second:
            return ConstraintViolation(f"{self.label}: both inputs read state {first}")
        return None

    def default(self, memo: Sample | None = None) -> None:
        """Choose states 0 and 1, the first distinct pair."""
        memo = {} if memo is None else memo
        for state, choice in enumerate(self.inputs):
            memo.setdefault(choice.label, [state])
        self.freeze(memo)

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> None:
        """Draw a uniform pair of distinct states, unless the sample has them already."""
        memo = {} if memo is None else memo
        if all(choice.label not in memo for choice in self.inputs):
            pair = sorted(
                (random_state or RandomState()).choice(len(self.inputs[0].values), 2, replace=False)
            )
            memo |= {choice.label: [int(state)] for choice, state in zip(self.inputs, pair, strict=True)}
        super().random(memo, random_state)

    def as_legacy_dict(self) -> NoReturn:
        """Refuse to be one independent parameter of a tuner, as NNI's `TPE` strategy asks for.

        Raises:
            ConstraintUnsupported: always.
        """
        raise ConstraintUnsupported(
            "NNI's TPE and its other tuners cannot search DartsSpace: they draw the two inputs of a node, "
            "which must differ, one by one; use NNI's RegularizedEvolution or strategies.create('evolution')"
        )


class OperationsOfEdges(DistinctInputs):
    """Constraint that a node's operations are among those of the edges that it reads.

    Args:
        cell: label of the cell: `normal` or `reduce`, after any prefix.
        node: number of the node's state.
        choices: for every earlier state the operations between it and the node, as many for each.
        operations: all operations of the space, in the order of the cell's choices.
    """

    def __init__(
        self, cell: str, node: int, choices: Sequence[Sequence[str]], operations: Sequence[str]
    ) -> None:
        super().__init__(cell, node)
        self.choices = choices
        with label_scope(cell):
            self.operations = [Categorical(operations, label=f"op_{node}_{k}") for k in (0, 1)]

    def leaf_mutables(self, is_leaf: Callable[[Any], bool]) -> Iterator[Any]:
        """Yield the constraint, its inputs and its operations."""
        yield from super().leaf_mutables(is_leaf)
        for choice in self.operations:
            yield from choice.leaf_mutables(is_leaf)

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        """Return None where inputs and operations fit together, else the error."""
        if error := super().check_contains(sample):
            return error
        for source, chosen in zip(self.inputs, self.operations, strict=True):
            if error := chosen.check_contains(sample):
                return error
            state, name = source.freeze(sample)[0], chosen.freeze(sample)
            if name not in self.choices[state]:
                return ConstraintViolation(
                    f"{chosen.label}: {name} is not among the operations on state {state}: "
                    f"{', '.join(self.choices[state])}"
                )
        return None

    def default(self, memo: Sample | None = None) -> None:
        """Choose states 0 and 1, and the first operation of each edge."""
        memo = {} if memo is None else memo
        for state, chosen in enumerate(self.operations):
            memo.setdefault(chosen.label, self.choices[state][0])
        super().default(memo)

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> None:
        """Draw inputs and operations uniformly, unless the sample has them already."""
        memo = {} if memo is None else memo
        state = random_state or RandomState()
        if all(choice.label not in memo for choice in (*self.inputs, *self.operations)):
            pair = sorted(state.choice(len(self.inputs[0].values), 2, replace=False))
            for source, chosen, index in zip(self.inputs, self.operations, pair, strict=True):
                memo[source.label] = [int(index)]
                memo[chosen.label] = str(state.choice(self.choices[index]))
        super().random(memo, state)


def constraints(space: DartsCells, kind: str) -> list[DistinctInputs]:
    """What the choices of a cell's nodes must keep, node by node; made in NNI's scope of labels."""
    found: list[DistinctInputs] = []
    for node in range(INPUTS, INPUTS + space.nodes):
        if space.is_uniform:
            found.append(DistinctInputs(kind, node))
        else:
            choices = [space.choices(kind, node, state) for state in range(node)]
            found.append(OperationsOfEdges(kind, node, choices, operations_of(space)))
    return found


def operations_of(space: DartsCells) -> list[str]:
    """The operations that cells of the space may have on any edge."""
    return [name for name in space.operations if name != "none"]


class CellInputs(nn.Module):
    """The two preprocessing blocks of a cell, in the form of NNI's `Cell`."""

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__()
        self.preprocess0 = preprocess(geometry.before_previous, geometry.channels, geometry.follows_reduction)
        self.preprocess1 = preprocess(geometry.previous, geometry.channels, follows_reduction=False)

    def forward(self, states: list[Tensor]) -> list[Tensor]:
        return [self.preprocess0(states[0]), self.preprocess1(states[1])]


class SpaceCell(SearchedCell, Cell):  # type: ignore[misc]
    """NNI's `Cell` with the operations of the space; its `geometry` is that of a search-time cell."""

    geometry: CellGeometry

    def __init__(self, geometry: CellGeometry, space: DartsCells) -> None:
        def candidate(_node: int, _slot: int, state: int | None, *, name: str) -> nn.Module:
            return operation(name, geometry.channels, geometry.stride(0 if state is None else state))

        super().__init__(
            {name: partial(candidate, name=name) for name in operations_of(space)},
            num_nodes=space.nodes,
            num_ops_per_node=2,
            num_predecessors=INPUTS,
            preprocessor=CellInputs(geometry),
            label=geometry.kind,
        )
        self.geometry, self.space = geometry, space


class PathCell(PathSamplingCell):  # type: ignore[misc]
    """The cell that NNI's `RandomOneShot` trains: one path a batch, whose nodes have two distinct inputs."""

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]
    ) -> Self | None:
        """Replace a cell of the space; called by NNI for every module."""
        if not isinstance(module, SpaceCell):
            return None
        cell = cls(
            module.op_candidates_factory,
            module.num_nodes,
            module.num_ops_per_node,
            module.num_predecessors,
            module.preprocessor,
            module.postprocessor,
            module.concat_dim,
            memo,
            mutate_kwargs,
            module.label,
        )
        cell.distinct = constraints(module.space, module.label)
        return cell

    def resample(self, memo: Sample) -> Sample:
        """Draw a path where `memo` has none yet; returns what was drawn."""
        state, inputs = RandomState(random.getrandbits(32)), dict(memo)
        for constraint in self.distinct:
            constraint.random(inputs, state)
        drawn = {label: value for label, value in inputs.items() if label not in memo}
        return drawn | super().resample(inputs)  # type: ignore[no-any-return]


def label_prefix() -> str:
    """What NNI puts before the labels of a module made here: nothing, or `NAME/` in a space with a prefix."""
    with label_scope(KINDS[0]) as scope:
        return str(scope.name).removesuffix(KINDS[0])


def own_genotype(sample: Sample, prefix: str = "", nodes: int = NODES) -> Genotype:
    """The genotype in the sample of a space that may have more choices.

    Args:
        sample: an NNI sample.
        prefix: what stands before the labels of the genotype.
        nodes: number of nodes of the cells.

    Raises:
        UserError: a label is missing or does not fit.
    """
    return Genotype.from_sample(
        {label: sample[prefix + label] for label in labels(nodes) if prefix + label in sample}
    )


def _family(text: str) -> DartsCells:
    """The space of the family of DARTS that a text names."""
    space = parse(text)
    if not isinstance(space, DartsCells):
        raise UserError(f"DartsSpace is a space of the family of DARTS, and {text} is not")
    return space


class DartsSpace(CellSpace):
    """The cell space of DARTS, or one of its family, for any number of classes, width and depth.

    Labels are those of NNI's `Cell`: `normal/op_2_0`, `normal/input_2_0`, ... A node's two inputs are
    distinct (an NNI constraint). Freezing builds the same `DartsNetwork` as the genotype does; so does
    building the space inside NNI's `model_context`.

    Args:
        width: channels of the first cell's nodes; even with the ImageNet stem.
        layers: number of cells; at least 3, so that both kinds of cell occur.
        num_classes: number of classes.
        stem: `cifar` (up to 64 px) or `imagenet`.
        auxiliary: whether final networks have the auxiliary head.
        space: the search space, such as `darts` or `darts:nodes=3`; of the family of DARTS.

    Raises:
        UserError: width, layers or stem do not fit, or it is another space.
    """

    def __init__(
        self,
        width: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = False,
        space: str = DEFAULT,
    ) -> None:
        super().__init__()
        if layers < MIN_LAYERS:
            raise UserError(
                f"layers must be at least {MIN_LAYERS}, so that both kinds of cell occur, not {layers}"
            )
        self.options: dict[str, Any] = {
            "width": width,
            "layers": layers,
            "num_classes": num_classes,
            "stem": stem,
            "auxiliary": auxiliary,
        }
        self.label_prefix = label_prefix()
        self.space: DartsCells = _family(space)
        plan = self.space.geometries(width, layers, stem)
        # Before the cells: NNI dry-runs mutables as they come, and the first pair of inputs must be distinct.
        for kind in KINDS:
            for constraint in constraints(self.space, kind):
                self.add_mutable(constraint)
        self.stem = Stem(stem, width)
        self.cells = nn.ModuleList(SpaceCell(geometry, self.space) for geometry in plan)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(plan[-1].out_channels, num_classes)

    @classmethod
    def create_fixed_module(
        cls,
        sample: Sample,
        width: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        stem: str = "cifar",
        auxiliary: bool = False,
        space: str = DEFAULT,
    ) -> DartsNetwork:
        """Build the final network of a sample; NNI calls this inside `model_context`.

        Labels of other choices in the sample, such as those of the evaluator, are left alone.
        """
        genotype = own_genotype(sample, label_prefix(), _family(space).nodes)
        return DartsNetwork(genotype, width, layers, num_classes, stem, auxiliary)

    def freeze(self, sample: Sample) -> DartsNetwork:
        """Build the final network of an NNI sample, with new weights.

        Args:
            sample: an NNI sample of this space, or of one with more choices, whose labels are ignored.

        Raises:
            nni.mutable.SampleValidationError: the sample is not one of this space.
        """
        self.validate(sample)
        return DartsNetwork(own_genotype(sample, self.label_prefix, self.space.nodes), **self.options)

    @classmethod
    def extra_oneshot_hooks(cls, strategy: OneShotStrategy) -> list[Any]:
        """The search-time cell of a one-shot strategy of NNI; called by NNI. Ours name their own."""
        return [PathCell.mutate] if isinstance(strategy, RandomOneShot) else []

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> logits [B, num_classes]."""
        s0, s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(self.pool(s1).flatten(1))
