"""Strategies that train candidates: the same search whatever finishes first, and after any stop."""

import itertools
import math
import random

import numpy as np
import pytest

import strategies
from search_spaces import DartsSpace, Genotype
from search_spaces.coding import Coding
from search_spaces.nni_api import ModelStatus, SequentialExecutionEngine, SimplifiedModelSpace, nni
from strategies.builtin import EvolutionOptions
from strategies.interfaces import SearchContext
from strategies.multitrial import CandidateEvaluator
from strategies.nsga2 import Nsga2, knee
from strategies.proposers import Evaluation, RegularizedEvolution

TEXTS = [
    "random:candidates=12",
    "evolution:population=4,tournament=3,candidates=16",
    "evolution:population=4,tournament=3,candidates=16,ahead=3",
    "evolution:selection=nsga2,population=6,offspring=4,generations=3",
]

SAME_ANYWHERE = [TEXTS[0], *TEXTS[2:]]
"""Those whose proposals do not set_path from the number of workers."""


def score(sample):
    """A made-up accuracy: of separable convolutions and late inputs."""
    genotype = Genotype.from_sample(sample)
    return sum(name.startswith("sep") + state / 10 for name, state in genotype.normal + genotype.reduce)


class Judge(CandidateEvaluator):
    """Scores at once; can fail now and then, and can stop the search."""

    training_images = 100

    def __init__(self, context, records, workers=1, failures=(), stop_at=None):
        self.context, self.recorder, self.workers = context, records, workers
        self.failures, self.stop_at, self.calls = list(failures), stop_at, itertools.count()

    def _execute(self, model):
        call = next(self.calls)
        if call == self.stop_at:
            raise KeyboardInterrupt
        if call in self.failures:
            raise RuntimeError("out of memory")
        nni.report_final_result({"default": score(model.sample), "samples": 100, "seconds": 2.0})


class Service(SequentialExecutionEngine):
    """Runs what was submitted when there is no more room, in any order: as a training service does."""

    def __init__(self, workers, seed):
        super().__init__(continue_on_failure=True)
        self.workers, self.waiting, self.order = workers, [], random.Random(seed)
        self.finished = []

    def submit_models(self, *models):
        self.waiting += models
        for model in models:
            model.status = ModelStatus.Training

    def run_one(self):
        model = self.waiting.pop(self.order.randrange(len(self.waiting)))
        self.finished.append(model)
        self._run_single_model(model)


class News:
    """Stands for the queue of ended candidates: lets the service work only when the strategy waits."""

    def __init__(self, service):
        self.service, self.items = service, []

    def put(self, item):
        self.items.append(item)

    def get(self, timeout):
        while not self.items:
            self.service.run_one()
        return self.items.pop(0)


def run(text, context, records, service=None, **judge):
    strategy = strategies.parse(text).create()
    engine = service or SequentialExecutionEngine()
    if service:
        strategy._news = News(service)
        judge["workers"] = service.workers
    space = SimplifiedModelSpace.from_model(DartsSpace(2, 3, 3), Judge(context, records, **judge))
    strategy(space, engine)
    return strategy


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


@pytest.mark.parametrize("text", TEXTS)
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
    found = run(TEXTS[0], SearchContext(seed=1, journal=journal), records, Service(2, 0), failures=(1, 4))
    assert codes(found) == codes(run(TEXTS[0], SearchContext(seed=1), type(records)()))
    with pytest.raises(RuntimeError, match="failed 3 times"):
        run(TEXTS[0], SearchContext(seed=1), type(records)(), Service(1, 0), failures=range(3))


def test_one_random_cell_needs_no_training(records):
    found = run("random", SearchContext(seed=5), records, stop_at=0)
    assert found.result.training_images == found.result.candidates == 0 and math.isnan(found.result.score)
    assert Genotype.from_sample(next(found.list_models(limit=1)).sample) == found.result.genotype
    assert found.result.genotype != run("random", SearchContext(seed=6), type(records)()).result.genotype


@pytest.mark.parametrize("text", TEXTS)
def test_the_budget_pays_for_whole_candidates(text, costs, records):
    found = run(text, SearchContext(mult_adds=costs, budget=799), records)
    assert found.result.candidates == 7 == records.expected
    assert (found.result.training_images, found.result.seconds) == (700, 14.0)
    with pytest.raises(ValueError, match="less than one candidate"):
        run(text, SearchContext(mult_adds=costs, budget=99), records)


@pytest.mark.parametrize("text", TEXTS)
def test_no_candidate_is_beyond_the_limit(text, costs, records):
    limit = costs.base * 5 // 4
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evolution:generations=3", "not supported with selection=regularized"),
        ("evolution:selection=nsga2,tournament=3", "not supported with selection=nsga2"),
        ("evolution:population=10", "larger than the population of 10"),
        ("evolution:selection=best", "selection"),
        ("random:candidates=0", "candidates"),
        ("enas:hiden=3", "did you mean 'hidden'"),
    ],
)
def test_bad_options_are_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        strategies.parse(text)
    assert "\n" not in str(refusal.value)
