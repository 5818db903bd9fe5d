"""Mixtures read under a limit on mult-adds, against an integer program."""

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from search_spaces import OPERATIONS, Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, EDGES, KINDS
from search_spaces.registry import default
from strategies.projection import project_to_limit


def mixture(seed):
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(8), size=EDGES) for _ in KINDS]


def projected_to(tables, costs, limit):
    return project_to_limit(dict(zip(KINDS, tables, strict=True)), default(), costs, limit)


def weight(genotype, tables):
    total = 0.0
    for kind, table in zip(KINDS, tables, strict=True):
        first = 0
        for node, pair in zip(CONCAT, genotype.nodes(kind), strict=True):
            total += sum(table[first + state, 1 + OPERATIONS.index(name)] for name, state in pair)
            first += node
    return total


def best_by_integer_programming(tables, costs, limit):
    """The largest weight within the limit, as an integer program: one variable an edge and operation."""
    gains, prices, nodes, edges = [], [], [], []
    for kind_number, (kind, table) in enumerate(zip(KINDS, tables, strict=True)):
        row = 0
        for node in CONCAT:
            for state in range(node):
                for number, name in enumerate(OPERATIONS):
                    gains.append(table[row, 1 + number])
                    prices.append(costs.edge(kind, name, state))
                    nodes.append((kind_number, node))
                    edges.append((kind_number, row))
                row += 1
    constraints = [LinearConstraint(np.array(prices, dtype=float) / 1e6, ub=(limit - costs.base) / 1e6)]
    for node in set(nodes):
        constraints.append(LinearConstraint([float(other == node) for other in nodes], 2, 2))
    for edge in set(edges):
        constraints.append(LinearConstraint([float(other == edge) for other in edges], ub=1))
    solved = milp(
        -np.array(gains), integrality=np.ones(len(gains)), bounds=Bounds(0, 1), constraints=constraints
    )
    return -solved.fun


def test_without_a_limit_in_the_way_it_is_the_rule_of_darts(costs):
    for seed in range(20):
        tables = mixture(seed)
        assert projected_to(tables, costs, 10**12) == Genotype.from_mixture(*tables)


@pytest.mark.parametrize("seed", range(4))
def test_is_the_heaviest_within_the_limit(costs, seed):
    tables = mixture(seed)
    free = costs(Genotype.from_mixture(*tables))
    limit = costs.base + (free - costs.base) * (seed + 1) // 5
    projected = projected_to(tables, costs, limit)
    assert costs(projected) <= limit < free
    assert weight(projected, tables) == pytest.approx(
        best_by_integer_programming(tables, costs, limit), abs=1e-6
    )


def test_refuses_what_no_cell_keeps(costs):
    with pytest.raises(UserError, match="out of reach"):
        projected_to(mixture(0), costs, costs.base - 1)
