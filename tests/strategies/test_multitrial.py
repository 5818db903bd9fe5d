"""Strategies that train candidates: the same search whatever finishes first, and after any stop."""

import math
from dataclasses import replace

import numpy as np
import pytest

import strategies
from search_spaces import DartsSpace, Genotype, registry
from search_spaces.coding import Coding
from search_spaces.errors import UserError
from search_spaces.nni_api import SequentialExecutionEngine, SimplifiedModelSpace
from strategies.builtin import EvolutionOptions
from strategies.interfaces import SearchContext
from strategies.nsga2 import Nsga2, knee
from strategies.proposers import Evaluation, RegularizedEvolution
from tests.strategies.cases import CANDIDATES
from tests.strategies.judge import Judge, Service, run

BY_WORKERS = {"evolution:population=4,tournament=3,candidates=16", "local_search:init=3,candidates=16"}
SAME_ANYWHERE = [text for text in CANDIDATES if text not in BY_WORKERS]
"""Those whose proposals do not depend on the number of workers."""


def codes(strategy):
    return [(evaluation.code, evaluation.score) for evaluation in strategy.history]


def entries(journal):
    return sorted(journal, key=lambda entry: entry["candidate"])


@pytest.mark.parametrize("text", SAME_ANYWHERE)
def test_the_order_of_finishing_changes_nothing(text, costs, records):
    journal = []
    here = run(text, SearchContext(seed=1, mult_adds=costs, journal=journal), records)
    orders = set()
    for seed in range(3):
        service, other = Service(3, seed), []
        there = run(text, SearchContext(seed=1, mult_adds=costs, journal=other), type(records)(), service)
        assert codes(there) == codes(here)
        assert entries(other) == entries(journal)
        assert there.result == here.result
        orders.add(tuple(entry["candidate"] for entry in other))
    assert len(orders) > 1


@pytest.mark.parametrize("text", CANDIDATES)
@pytest.mark.parametrize("stop_at", [0, 3, 8])
def test_a_search_that_was_stopped_ends_like_one_that_was_not(text, stop_at, costs, records):
    def context(journal):
        return SearchContext(seed=1, mult_adds=costs, journal=journal)

    undisturbed = run(text, context([]), records)
    journal = []
    with pytest.raises(KeyboardInterrupt):
        run(text, context(journal), type(records)(), stop_at=stop_at)
    assert len(journal) == stop_at
    if text in SAME_ANYWHERE:
        with pytest.raises(KeyboardInterrupt):
            run(text, context(journal), type(records)(), Service(2, 5), stop_at=1)
    again = type(records)()
    resumed = run(text, context(journal), again)
    assert codes(resumed) == codes(undisturbed)
    assert resumed.result == undisturbed.result
    assert again.lines == records.lines
    assert len(journal) == undisturbed.result.candidates  # no candidate twice, none forgotten


def test_a_failed_candidate_is_trained_again_and_again_before_it_ends_the_search(costs, records):
    journal = []
    found = run(
        CANDIDATES[0], SearchContext(seed=1, journal=journal), records, Service(2, 0), failures=(1, 4)
    )
    assert codes(found) == codes(run(CANDIDATES[0], SearchContext(seed=1), type(records)()))
    with pytest.raises(UserError, match="failed 3 times"):
        run(CANDIDATES[0], SearchContext(seed=1), type(records)(), Service(1, 0), failures=range(3))


def test_one_random_cell_needs_no_training(records):
    found = run("random", SearchContext(seed=5), records, stop_at=0)
    assert found.result.training_images == found.result.candidates == 0 and math.isnan(found.result.score)
    assert Genotype.from_sample(next(found.list_models(limit=1)).sample) == found.result.genotype
    assert found.result.genotype != run("random", SearchContext(seed=6), type(records)()).result.genotype


@pytest.mark.parametrize("text", CANDIDATES)
def test_a_random_cell_is_never_the_first_candidate_of_a_search(text, costs, records):
    """The baseline has a random stream of its own; under the rules of 0.1 it has not."""
    for seed in range(5):
        context = SearchContext(seed=seed, mult_adds=costs)
        baseline = run("random", context, type(records)())
        one = replace(context, budget=100)  # of one candidate
        first = run(text, one, type(records)())
        assert baseline.history[0].code != first.history[0].code == baseline.proposer.propose(0, [])


def test_a_random_cell_of_version_0_1_is_the_first_candidate(records):
    found = run("strategies.builtin:SharedStreamRandomOptions", SearchContext(seed=5), records)
    assert found.history[0].code == found.proposer.propose(0, [])


@pytest.mark.parametrize("text", CANDIDATES)
def test_the_budget_pays_for_whole_candidates(text, costs, records):
    found = run(text, SearchContext(mult_adds=costs, budget=799), records)
    assert found.result.candidates == 7 == records.expected
    assert (found.result.training_images, found.result.seconds) == (700, 14.0)
    with pytest.raises(UserError, match="less than one candidate"):
        run(text, SearchContext(mult_adds=costs, budget=99), records)


@pytest.mark.parametrize("text", CANDIDATES)
def test_no_candidate_is_beyond_the_limit(text, costs, records):
    """Which one random cell in five keeps."""
    rng = np.random.default_rng(0)
    limit = int(np.quantile([costs(registry.default().random(rng)) for _ in range(99)], 0.2))
    found = run(text, SearchContext(seed=2, mult_adds=costs, max_mult_adds=limit), records)
    assert max(costs(found.proposer.architecture(each.code)) for each in found.history) <= limit
    free = run(text, SearchContext(seed=2, mult_adds=costs), type(records)())
    assert max(costs(free.proposer.architecture(each.code)) for each in free.history) > limit


CODING = Coding.of(DartsSpace(2, 3, 3).simplify())


def evaluations(count, seed=0):
    rng = np.random.default_rng(seed)
    return [Evaluation(CODING.random(rng), float(rng.integers(20))) for _ in range(count)]


def test_a_child_differs_in_one_gene_from_the_best_of_its_tournament():
    options = EvolutionOptions(population=10, tournament=10, candidates=99)
    proposer = RegularizedEvolution(options, 1, CODING, SearchContext(), 99, Genotype.from_sample)
    history = evaluations(25)
    alive = history[-10:]
    best = max(alive, key=lambda candidate: candidate.score)
    for index in range(25, 60):
        child = proposer.propose(index, history)
        parents = [c for c in alive if c.score == best.score]
        assert any(sum(a != b for a, b in zip(child, parent.code, strict=True)) == 1 for parent in parents)


def test_the_front_is_what_nobody_dominates(costs):
    options = EvolutionOptions(selection="nsga2")
    proposer = Nsga2(options, CODING, SearchContext(mult_adds=costs), 99, Genotype.from_sample)
    history = evaluations(60)
    points = [(c.score, costs(proposer.architecture(c.code))) for c in history]
    expected = {
        point
        for point in points
        if not any(o[0] >= point[0] and o[1] <= point[1] and o != point for o in points)
    }
    front = proposer.members(history)
    assert {(member.score, member.mult_adds) for member in front} == expected
    assert [member.mult_adds for member in front] == sorted(member.mult_adds for member in front)
    assert proposer.best(history) == max(range(60), key=lambda place: history[place].score)


def test_the_knee_is_where_little_cost_has_bought_much():
    front = np.array([[50.0, 1.0], [12.0, 2.0], [10.0, 9.0]])  # error, mult_adds
    assert knee(front) == 1
    assert knee(front[:1]) == 0


def test_a_diverged_candidate_is_marked_and_never_the_result(records):
    journal = []
    found = run(CANDIDATES[0], SearchContext(seed=1, journal=journal), records, diverging=range(5))
    assert [entry.get("diverged", False) for entry in journal] == [True] * 5 + [False] * 7
    logged = [line[3].get("diverged", 0.0) for line in records.lines if line[0] == "validation"]
    assert logged == [1.0] * 5 + [0.0] * 7
    assert found.result.score > 0 and [evaluation.score for evaluation in found.history[:5]] == [0.0] * 5
    assert codes(run(CANDIDATES[0], SearchContext(seed=1, journal=journal), type(records)())) == codes(found)


@pytest.mark.parametrize("text", CANDIDATES)
def test_a_search_in_which_all_diverged_has_no_result(text, costs, records):
    with pytest.raises(UserError, match=r"all \d+ candidates has diverged; try a lower learning rate"):
        run(text, SearchContext(mult_adds=costs), records, diverging=range(99))


def test_a_failure_is_no_score_of_zero(records):
    class Buggy(Judge):
        def _execute(self, model):
            raise ValueError("a defect")

    strategy = strategies.parse(CANDIDATES[0]).create()
    space = SimplifiedModelSpace.from_model(DartsSpace(2, 3, 3), Buggy(SearchContext(), records))
    with pytest.raises(ValueError, match="a defect"):
        strategy(space, SequentialExecutionEngine())
    assert not records.lines


@pytest.mark.parametrize("text", CANDIDATES)
def test_candidates_of_another_search_are_refused(text, costs, records):
    journal = []
    run(text, SearchContext(seed=1, mult_adds=costs, journal=journal), records)
    with pytest.raises(UserError, match="of another search"):
        run(text, SearchContext(seed=2, mult_adds=costs, journal=journal), type(records)())


def test_a_parent_needs_a_score_however_many_candidates_train_at_a_time(costs, records):
    text = "evolution:population=4,tournament=3,candidates=16,ahead=9"
    options = EvolutionOptions(population=4, tournament=3, candidates=16)
    proposer = RegularizedEvolution(options, 9, CODING, SearchContext(), 16, Genotype.from_sample)
    assert [proposer.needs(index) for index in (0, 3, 4, 9, 12)] == [0, 0, 1, 1, 4]
    found = run(text, SearchContext(seed=1, mult_adds=costs, journal=[]), records, Service(9, 0))
    assert len(found.history) == 16
