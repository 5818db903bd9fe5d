"""Deriving cells from a mixture under limits on sizes of the final network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces import AbstractGenotype, Space
from search_spaces.base import Edge
from search_spaces.errors import UserError
from search_spaces.sizes import EdgeCosts
from strategies.interfaces import Limit

Weights = npt.NDArray[np.floating]
Choice = tuple[int, float, tuple[Edge, ...]]
"""Size, sum of weights, and edges chosen so far."""


def project_to_limits(
    mixture: Mapping[str, Weights], space: Space, limits: Sequence[Limit]
) -> AbstractGenotype:
    """Find the cells within limits whose operations have the largest sum of weights, exactly.

    Limits that do not bind give the rule of DARTS: the two edges of a node whose best operations have the
    largest weights.

    Args:
        mixture: weights after softmax, [edges, candidates] for each kind of cell, as for `Space.derive`.
        space: the search space.
        limits: the limits, whose sizes are `EdgeCosts`.

    Raises:
        UserError: no network keeps within the limits.
    """
    if len(limits) > 1:
        return solve(mixture, space, limits, space.derivable)
    return _project_to_limit(mixture, space, limits[0])


def require_reachable(space: Space, limits: Sequence[Limit]) -> None:
    """Refuse limits that no architecture meets.

    Raises:
        UserError: says which limits, and the smallest possible size.
    """
    for limit in limits:
        least = smallest(space, edge_costs(limit))
        if least > limit.maximum:
            raise UserError(
                f"{limit} is out of reach: the smallest final network of {space.text} has "
                f"{limit.shown(least)}"
            )
    if len(limits) > 1:
        weights = {kind: np.zeros(mask.shape) for kind, mask in space.derivable.items()}
        solve(weights, space, limits, space.derivable)


def edge_costs(limit: Limit) -> EdgeCosts:
    """The size of a limit as a sum over edges.

    Raises:
        UserError: it is not one.
    """
    if not isinstance(limit.size, EdgeCosts):
        raise UserError(f"{limit.name} needs a size that is a sum over edges, an EdgeCosts")
    return limit.size


def smallest(space: Space, costs: EdgeCosts) -> int:
    """Size of the smallest final network."""
    total = costs.base
    for kind in space.kinds:
        tables = iter(_edges(kind, np.zeros(space.derivable[kind].shape), space, costs))
        for node in space.node_inputs:
            cheapest = sorted(choices[0][0] for choices in itertools.islice(tables, node.edges))
            total += sum(cheapest[: node.kept])
    return total


def solve(
    mixture: Mapping[str, Weights],
    space: Space,
    limits: Sequence[Limit],
    allowed: Mapping[str, npt.NDArray[np.bool_]],
) -> AbstractGenotype:
    """Find the allowed cells within several limits whose operations have the largest sum of weights, exactly.

    It is a linear program of binary variables, one for each operation of each edge, which HiGHS solves.

    Args:
        mixture: weights, [edges, candidates] for each kind of cell.
        space: the search space.
        limits: the limits, whose sizes are `EdgeCosts`.
        allowed: which operations each edge may have, bool [edges, candidates] for each kind of cell.

    Raises:
        UserError: no allowed cells keep within the limits.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes a moment to import

    variables = [
        (kind, node, state, column)
        for kind in space.kinds
        for node, inputs in enumerate(space.node_inputs)
        for state in range(inputs.edges)
        for column in range(len(space.candidates))
    ]
    weights = np.concatenate([np.asarray(mixture[kind], dtype=float).ravel() for kind in space.kinds])
    may = np.concatenate([allowed[kind].ravel() for kind in space.kinds])
    rules = [LinearConstraint(*rule) for rule in _rules(space, variables)]
    for limit in limits:
        costs = edge_costs(limit)
        sizes = [
            costs.edge(kind, space.candidates[column], state) if is_allowed else 0
            for (kind, _, state, column), is_allowed in zip(variables, may, strict=True)
        ]
        left = limit.maximum - costs.base
        unit = max(abs(left), 1)
        rules.append(LinearConstraint(np.array(sizes, dtype=float) / unit, -np.inf, left / unit))
    while True:
        found = milp(
            -weights,
            integrality=np.ones(len(variables)),
            bounds=Bounds(0, may.astype(float)),
            constraints=rules,
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            raise UserError(f"{' and '.join(map(str, limits))} are out of reach together: allow more of one")
        chosen = found.x > 0.5
        picked: dict[str, list[Edge]] = {kind: [] for kind in space.kinds}
        for index in np.flatnonzero(chosen):
            kind, _, state, column = variables[index]
            picked[kind].append((space.candidates[column], state))
        genotype = space.genotype(picked)
        if all(limit.fits(genotype) for limit in limits):
            return genotype
        # HiGHS takes a limit for met that is missed by a millionth: leave this solution out
        rules.append(LinearConstraint(chosen.astype(float), -np.inf, chosen.sum() - 1))


def _rules(
    space: Space, variables: Sequence[tuple[str, int, int, int]]
) -> list[tuple[npt.NDArray[np.float64], Any, Any]]:
    """Rules of every cell: coefficients, least and most.

    An edge has at most one operation, and a node as many edges as it keeps.

    Args:
        space: the search space.
        variables: kind of cell, node, state and candidate of each variable.
    """
    edges = [f"{kind} {node} {state}" for kind, node, state, _ in variables]
    _, edge_of = np.unique(edges, return_inverse=True)
    places = [(kind, node) for kind in space.kinds for node in range(len(space.node_inputs))]
    of_node = np.array([[name[:2] == place for name in variables] for place in places], dtype=float)
    kept = [space.node_inputs[node].kept for _, node in places]
    return [(np.eye(edge_of.max() + 1)[:, edge_of], -np.inf, 1), (of_node, kept, kept)]


def _project_to_limit(mixture: Mapping[str, Weights], space: Space, limit: Limit) -> AbstractGenotype:
    """Find the cells within one limit.

    The choices of one node after the other are combined, and only undominated combinations are kept, which
    loses nothing because sizes and weights are sums over edges.
    """
    costs = edge_costs(limit)
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
                    if cost + more <= limit.maximum
                ]
            )
    if not front:
        raise UserError(
            f"{limit} is out of reach: the smallest final network of {space.text} has "
            f"{limit.shown(smallest(space, costs))}"
        )
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
