"""Codes of a space, and the uniformity of what is drawn from them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search_spaces import OPERATIONS, DartsSpace, Genotype, registry
from search_spaces.coding import Coding, Inputs
from search_spaces.genotype import CONCAT, KINDS
from strategies.interfaces import SearchContext
from strategies.proposers import Proposer

CODING = Coding.of(DartsSpace(2, 3, 3).simplify())
CODES = st.tuples(*(st.integers(0, size - 1) for size in CODING.sizes))
PAIRS = {node: node * (node - 1) // 2 for node in CONCAT}
DRAWS = 20_000


def genotype(code):
    return Genotype.from_sample(CODING.sample(code))


@settings(max_examples=50, deadline=None)
@given(CODES, CODES)
def test_every_code_is_a_cell_and_each_but_once(one, other):
    assert (genotype(one) == genotype(other)) == (one == other)
    assert Genotype.from_sample(genotype(one).to_sample()) == genotype(one)


def test_there_are_as_many_codes_as_cells():
    cells = np.prod([PAIRS[node] * len(OPERATIONS) ** 2 for node in CONCAT], dtype=object)
    assert np.prod(CODING.sizes, dtype=object) == cells ** len(KINDS)


@settings(max_examples=100, deadline=None)
@given(CODES, st.integers(0, 2**32))
def test_a_mutation_changes_one_operation_or_moves_one_input(code, seed):
    before, after = genotype(code), genotype(CODING.mutated(code, np.random.default_rng(seed)))
    moved, renamed = 0, 0
    for kind in KINDS:
        for one, other in zip(before.nodes(kind), after.nodes(kind), strict=True):
            states = [{state for _, state in pair} for pair in (one, other)]
            moved += len(states[0] - states[1])
            renamed += sum(a[0] != b[0] for a, b in zip(one, other, strict=True))
    assert (moved, renamed) in {(1, 0), (0, 1)}


@settings(max_examples=20, deadline=None)
@given(CODES, st.integers(0, 119))
def test_a_neighbour_has_one_other_edge(code, place):
    def edges(code):
        cell = genotype(code)
        return {
            (kind, node, *edge)
            for kind in KINDS
            for node, pair in enumerate(cell.nodes(kind))
            for edge in pair
        }

    neighbours = CODING.neighbours(code)
    assert len(set(neighbours)) == len(neighbours) == 16 * 6 + 2 * 2 * (0 + 1 + 2 + 3)
    gone, new = edges(code) - edges(neighbours[place]), edges(neighbours[place]) - edges(code)
    ((kind, node, operation, state),), ((*where, other, moved),) = gone, new
    assert where == [kind, node] and (operation == other) != (state == moved)
    assert code in CODING.neighbours(neighbours[place])


@pytest.mark.parametrize(("name", "count"), [("darts-s1", 40), ("darts-s4", 40), ("nas_bench_201", 24)])
def test_every_space_has_neighbours(name, count):
    space = registry.parse(name)
    coding = Coding.of(space.model_space(4, 5, 10).simplify())
    code = coding.random(np.random.default_rng(0))
    neighbours = coding.neighbours(code)
    assert len({space.from_sample(coding.sample(other)) for other in neighbours}) == count
    assert all(code in coding.neighbours(other) for other in neighbours)


def test_mutations_reach_operations_and_inputs_alike():
    rng = np.random.default_rng(0)
    code = CODING.random(rng)
    inputs = sum(CODING.mutated(code, rng)[:8] != code[:8] for _ in range(2000))
    assert stats.binomtest(inputs, 2000).pvalue > 1e-4


def test_random_draws_are_uniform():
    proposer = Proposer(CODING, SearchContext(seed=4), DRAWS, Genotype.from_sample)
    drawn = np.array([proposer.propose(index, []) for index in range(DRAWS)])
    labels = [gene.labels[0] if isinstance(gene, Inputs) else gene.label for gene in CODING.genes]
    values = []
    for kind in KINDS:
        for node in CONCAT:
            columns = [
                labels.index(f"{kind}/{what}") for what in (f"input_{node}_0", f"op_{node}_0", f"op_{node}_1")
            ]
            pair, first, second = drawn[:, columns].T
            values += [(pair, PAIRS[node]), (first, 7), (second, 7)]
            values.append(((pair * 7 + first) * 7 + second, 49 * PAIRS[node]))  # the node as a whole
    for value, possible in values:
        # 32 tests: a uniform sampler fails with a chance of 0.3 percent.
        assert possible == 1 or stats.chisquare(np.bincount(value, minlength=possible)).pvalue > 1e-4


def test_pooled_draws_of_shared_weights_are_uniform_too(supernet):
    strategy = supernet("random_ws:candidates=1,finalists=1,batches=1", epochs=1).strategy
    operations = Counter(name for cell in strategy.uniform(3000, 5) for name, _ in cell.normal + cell.reduce)
    assert len(operations) == len(OPERATIONS)
    assert stats.chisquare(list(operations.values())).pvalue > 1e-4
