"""Deriving cells from a mixture under a limit on multiply-adds."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from search_spaces import OPERATIONS, Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, KINDS, Edge
from search_spaces.sizes import CellCosts

Weights = npt.NDArray[np.floating]
Choice = tuple[int, float, tuple[Edge, ...]]
"""Multiply-adds, sum of weights, and edges chosen so far."""


def project_to_limit(normal: Weights, reduce: Weights, costs: CellCosts, limit: int) -> Genotype:
    """Find the cells within `limit` whose sixteen operations have the largest sum of weights, exactly.

    A limit that does not bind gives the rule of DARTS: the two edges of a node whose best operations have the
    largest weights. Otherwise the choices of one node after the other are combined, and only undominated
    combinations are kept, which loses nothing because costs and weights are sums over edges.

    Args:
        normal: weights of the normal cell after softmax, [14, 8], as `Genotype.from_mixture` takes them.
        reduce: weights of the reduction cell after softmax, [14, 8].
        costs: counts the multiply-adds of the final network.
        limit: largest number of multiply-adds of the final network, per image.

    Raises:
        UserError: even a network of pooling alone is beyond the limit.
    """
    if costs.base > limit:
        raise UserError(
            f"max_mult_adds = {limit:,} is out of reach: stem, preprocessing and classifier of the final "
            f"network alone cost {costs.base:,}"
        )
    front: list[Choice] = [(costs.base, 0.0, ())]
    for kind, table in zip(KINDS, (normal, reduce), strict=True):
        rows = np.asarray(table, dtype=float)[:, 1:]
        for node in CONCAT:
            options, rows = _options(kind, rows[:node], costs), rows[node:]
            front = _undominated(
                [
                    (cost + more, weight + gain, edges + chosen)
                    for cost, weight, edges in front
                    for more, gain, chosen in options
                    if cost + more <= limit
                ]
            )
    edges = front[-1][2]
    return Genotype(edges[:8], edges[8:])


def _options(kind: str, rows: Weights, costs: CellCosts) -> list[Choice]:
    """Choices of one node: two edges, an operation on each."""
    edges = [
        _undominated(
            [
                (costs.edge(kind, name, state), float(weight), ((name, state),))
                for name, weight in zip(OPERATIONS, row, strict=True)
            ]
        )
        for state, row in enumerate(rows)
    ]
    return _undominated(
        [
            (cost + more, weight + gain, first + second)
            for one, other in itertools.combinations(edges, 2)
            for cost, weight, first in one
            for more, gain, second in other
        ]
    )


def _undominated(choices: list[Choice]) -> list[Choice]:
    """The choices that no other beats in both cost and weight, cheapest first; of equal ones the first."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice[0], -choice[1])):
        if not kept or choice[1] > kept[-1][1]:
            kept.append(choice)
    return kept
