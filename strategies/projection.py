"""Deriving cells from a mixture under a limit on multiply-adds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from search_spaces import AbstractGenotype, Space
from search_spaces.base import Edge
from search_spaces.errors import UserError
from search_spaces.sizes import EdgeCosts

Weights = npt.NDArray[np.floating]
Choice = tuple[int, float, tuple[Edge, ...]]
"""Multiply-adds, sum of weights, and edges chosen so far."""


def project_to_limit(
    mixture: Mapping[str, Weights], space: Space, costs: EdgeCosts, limit: int
) -> AbstractGenotype:
    """Find the cells within `limit` whose operations have the largest sum of weights, exactly.

    A limit that does not bind gives the rule of DARTS: the two edges of a node whose best operations have the
    largest weights. Otherwise the choices of one node after the other are combined, and only undominated
    combinations are kept, which loses nothing because costs and weights are sums over edges.

    Args:
        mixture: weights after softmax, [edges, candidates] for each kind of cell, as for `Space.derive`.
        space: the search space.
        costs: counts the multiply-adds of the final network.
        limit: largest number of multiply-adds of the final network, per image.

    Raises:
        UserError: even the cheapest network is beyond the limit.
    """
    if costs.base > limit:
        raise UserError(
            f"max_mult_adds = {limit:,} is out of reach: stem, preprocessing and classifier of the final "
            f"network alone cost {costs.base:,}"
        )
    front: list[Choice] = [(costs.base, 0.0, ())]
    for kind in space.kinds:
        edges_of = iter(_edges(kind, mixture[kind], space, costs))
        for node in space.node_inputs:
            options = _options(list(itertools.islice(edges_of, node.edges)), node.kept)
            front = _undominated(
                [
                    (cost + more, weight + gain, edges + chosen)
                    for cost, weight, edges in front
                    for more, gain, chosen in options
                    if cost + more <= limit
                ]
            )
    if not front:
        raise UserError(f"max_mult_adds = {limit:,} is out of reach: no cell of {space.text} keeps within it")
    edges = front[-1][2]
    count = len(edges) // len(space.kinds)
    return space.genotype(
        {kind: edges[count * index : count * (index + 1)] for index, kind in enumerate(space.kinds)}
    )


def _edges(kind: str, table: Weights, space: Space, costs: EdgeCosts) -> list[list[Choice]]:
    """Choices of every edge, node by node, then by state: an operation."""
    rows = zip(np.asarray(table, dtype=float), space.derivable[kind], strict=True)
    states = itertools.chain.from_iterable(range(node.edges) for node in space.node_inputs)
    return [
        _undominated(
            [
                (costs.edge(kind, name, state), float(weight), ((name, state),))
                for name, weight, is_derivable in zip(space.candidates, row, mask, strict=True)
                if is_derivable
            ]
        )
        for (row, mask), state in zip(rows, states, strict=True)
    ]


def _options(edges: list[list[Choice]], kept: int) -> list[Choice]:
    """Choices of one node: `kept` of its edges, an operation on each."""
    return _undominated(
        [
            (sum(cost for cost, _, _ in chosen), sum(weight for _, weight, _ in chosen), _joined(chosen))
            for group in itertools.combinations(edges, kept)
            for chosen in itertools.product(*group)
        ]
    )


def _joined(chosen: tuple[Choice, ...]) -> tuple[Edge, ...]:
    return tuple(itertools.chain.from_iterable(edges for _, _, edges in chosen))


def _undominated(choices: list[Choice]) -> list[Choice]:
    """The choices that no other beats in both cost and weight, cheapest first; of equal ones the first."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice[0], -choice[1])):
        if not kept or choice[1] > kept[-1][1]:
            kept.append(choice)
    return kept
