"""Mixtures read under limits on sizes, against integer programs and all cells of a space."""

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from search_spaces import OPERATIONS, Genotype, parse
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, EDGES, KINDS
from search_spaces.registry import default
from search_spaces.sizes import part_parameters
from strategies.interfaces import Limit
from strategies.projection import project_to_limits, require_reachable, smallest, solve


def mixture(seed):
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(8), size=EDGES) for _ in KINDS]


def projected_to(tables, costs, limit):
    limits = (Limit("max_mult_adds", costs, limit, "multiply-adds"),)
    return project_to_limits(dict(zip(KINDS, tables, strict=True)), default(), limits)


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


def test_the_program_of_several_limits_finds_what_one_limit_gives(costs):
    for seed in range(3):
        tables = mixture(seed)
        free = costs(Genotype.from_mixture(*tables))
        limit = costs.base + (free - costs.base) // 2
        limits = (Limit("max_mult_adds", costs, limit, "multiply-adds"),)
        found = solve(dict(zip(KINDS, tables, strict=True)), default(), limits, default().derivable)
        assert costs(found) <= limit
        assert weight(found, tables) == pytest.approx(weight(projected_to(tables, costs, limit), tables))


def sized(text, **shares):
    """A space, and limits at these shares between the smallest and the largest sizes of its networks."""
    space, setting = parse(text), (4, 5, 3, "cifar", 8)
    rng = np.random.default_rng(0)
    times = {}
    sizes = {
        "mult_adds": space.costs(*setting),
        "params": space.costs(*setting, measure=part_parameters),
        "time": space.costs(
            *setting, measure=lambda part: times.setdefault(part.name, int(rng.integers(99)))
        ),
    }
    found = []
    for name, share in shares.items():
        least = smallest(space, sizes[name])
        most = max(sizes[name](space.random(rng)) for _ in range(500))
        found.append(Limit(f"max_{name}", sizes[name], int(least + share * (most - least)), name))
    return space, tuple(found)


@pytest.mark.parametrize("seed", range(3))
def test_several_limits_give_the_heaviest_of_all_cells(seed):
    """Against all 15,625 cells of NAS-Bench-201."""
    space, limits = sized("nas_bench_201", mult_adds=0.6, params=0.5, time=0.5)
    table = np.random.default_rng(seed).dirichlet(np.ones(5), size=6)
    found = project_to_limits({"cell": table}, space, limits)
    assert all(limit.fits(found) for limit in limits)
    states = [state for node in range(1, 4) for state in range(node)]
    allowed = (
        [(space.candidates[column], state) for column, state in zip(columns, states, strict=True)]
        for columns in itertools.product(range(5), repeat=6)
    )
    cells = (space.genotype({"cell": edges}) for edges in allowed)
    best = max(
        sum(table[row, space.candidates.index(name)] for row, (name, _) in enumerate(cell.edges("cell")))
        for cell in cells
        if all(limit.fits(cell) for limit in limits)
    )
    own = sum(table[row, space.candidates.index(name)] for row, (name, _) in enumerate(found.edges("cell")))
    assert own == pytest.approx(best)


def test_limits_out_of_reach_are_named_with_the_smallest_size():
    space, limits = sized("darts", mult_adds=0.4, params=0.4)
    require_reachable(space, limits)
    least = smallest(space, limits[1].size)
    beyond = Limit("max_params", limits[1].size, least - 1, "parameters")
    with pytest.raises(UserError, match=f"smallest final network of darts has {least:,} parameters"):
        require_reachable(space, (limits[0], beyond))
    require_reachable(space, (Limit("max_params", limits[1].size, least, "parameters"),))


def test_limits_that_exclude_each_other_are_refused():
    """Two sizes of which each makes cheap what the other makes dear."""
    space = parse("nas_bench_201")
    setting = (4, 5, 3, "cifar", 8)
    one = space.costs(*setting, measure=lambda part: part.operation == "skip_connect")
    other = space.costs(*setting, measure=lambda part: part.operation != "skip_connect" and bool(part.kind))
    half = one(space.genotype({"cell": [("skip_connect", s) for n in range(1, 4) for s in range(n)]})) // 2
    require_reachable(space, (Limit("a", one, half, "x"), Limit("b", other, half, "x")))
    with pytest.raises(UserError, match=r"a = 8 x and b = 8 x are out of reach together"):
        require_reachable(space, (Limit("a", one, half - 1, "x"), Limit("b", other, half - 1, "x")))
