"""Budgets: their grammar, what counts, and that every strategy keeps every kind, also after a stop."""

import pytest

import strategies
from search_spaces.errors import UserError
from strategies.budget import KINDS, Budget, Cost
from strategies.interfaces import SearchContext
from strategies.supernet import SupernetStrategy
from tests.strategies.judge import Service, run

RANDOM_WS = "random_ws:candidates=6,finalists=2,batches=2"
EVOLUTION = "evolution:evaluate=supernet,population=4,tournament=2,candidates=8"
SEARCHES = [
    ("darts", "forward_images"),
    ("sdarts-adv", "total_images"),
    (RANDOM_WS, "forward_images"),
    (EVOLUTION, "total_images"),
    ("enas:controller_steps=2,aggregate=3,candidates=4", "total_images"),
]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (2_500_000, 2_500_000),
        ("2.5M", 2_500_000),
        (1e6, 1_000_000),
        ("images=5K", 5_000),
        ("seconds=3600,total_images=20M", "total_images=20000000,seconds=3600"),
        (" forward_images = 1e6 , total_seconds = .5", "forward_images=1000000,total_seconds=0.5"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, plain):
    budget = Budget.parse(text)
    assert budget.plain == plain and type(budget.plain) is type(plain)
    assert Budget.parse(plain) == Budget.parse(budget) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image=5", "did you mean 'images'"),
        ("images=5,images=6", "images is given twice"),
        ("5M,", "images is given twice"),
        ("", "images must be a number of images above 0"),
        (0, "images must be a number of images above 0"),
        (2.5, "images must be a number of images above 0"),
        (True, "images must be a number of images above 0"),
        ({}, "images must be a number of images above 0"),
        ("seconds=nan", "seconds must be a number of seconds above 0"),
        ("total_seconds=1e99", "total_seconds is too large"),
        ("9" * 400, "images is too large"),
    ],
)
def test_what_is_no_budget_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        Budget.parse(text)


@pytest.mark.parametrize("budget", ["images=799", "forward_images=310", "total_images=1000,images=950"])
def test_as_many_units_as_fit(budget):
    budget = Budget.parse(budget)

    def cost(units):
        return Cost(images=100 * units, forward_images=60 + 30 * units)

    found = budget.most(cost, "epoch")
    assert budget._limited(cost(found)).items() and not is_beyond(budget, cost(found))
    assert is_beyond(budget, cost(found + 1))
    assert budget.most(lambda units: Cost(forward_images=1), "epoch") is None


def is_beyond(budget, cost):
    used = {"images": cost.images, "forward_images": cost.forward_images}
    used["total_images"] = sum(used.values())
    return any(
        getattr(budget, kind) is not None and images > getattr(budget, kind) for kind, images in used.items()
    )


def test_scorers_count_in_all():
    budget = Budget.parse("images=10,total_images=100,total_seconds=60,seconds=50")
    left = budget.after(Cost(images=30, forward_images=20, seconds=15.5))
    assert left == Budget(images=10, total_images=50, seconds=50, total_seconds=44.5)
    assert left.max_seconds == 44.5 and budget.max_seconds == 50
    assert budget.after(Cost()) == budget and set(KINDS) == set(vars(budget))
    with pytest.raises(UserError, match="total_images=100 is used up by the proxy's scorers, which take 100"):
        budget.after(Cost(forward_images=100))


@pytest.mark.parametrize(("text", "kind"), SEARCHES)
def test_shared_weights_keep_limits_on_images(supernet, costs, text, kind):
    options = strategies.parse(text).options

    def used(epochs):
        forward = options.forward_images(epochs, 24, 24, 8)
        return forward + (options.training_images(epochs, 24, 24, 8) if kind == "total_images" else 0)

    found = supernet(text, SearchContext(mult_adds=costs, budget=Budget(**{kind: used(2) + 1}))).result
    assert found.epochs == 2
    trained = found.training_images if kind == "total_images" else 0
    assert trained + found.forward_images == used(2) < used(3)
    with pytest.raises(UserError, match=f"{KINDS[kind]} is less than one epoch"):
        supernet(text, SearchContext(mult_adds=costs, budget=Budget(**{kind: used(1) - 1})))


@pytest.mark.parametrize("text", ["darts", RANDOM_WS, pytest.param(EVOLUTION, marks=pytest.mark.slow)])
def test_seconds_end_a_search_with_an_epoch_or_candidate(supernet, costs, text, monkeypatch):
    """Epochs and candidates of 10 s each: three epochs, and one candidate of each stage of the choice."""
    monkeypatch.setattr(SupernetStrategy, "agreed_seconds", lambda self, start_time: 10.0)

    def context(journal):
        return SearchContext(mult_adds=costs, budget=Budget(seconds=25), journal=journal)

    found = supernet(text, context([]), epochs=5)
    candidates = {"darts": 0, RANDOM_WS: 2, EVOLUTION: 1}[text]
    assert (found.result.epochs, found.result.candidates) == (3, candidates)
    assert found.result.seconds == 30 + 10 * candidates
    kept, journal = {}, []
    with pytest.raises(KeyboardInterrupt):
        supernet(text, context(journal), epochs=5, stop_at=7, kept=kept)
    assert kept["state"]["result"]["epochs"] == 2
    resumed = supernet(text, context(journal), epochs=5, kept=kept).result
    assert resumed == found.result


def test_seconds_leave_time_for_some_candidates(supernet, costs, monkeypatch):
    """Two epochs of 10 s and 55 s in all: four candidates, of which the last reaches the limit."""
    monkeypatch.setattr(SupernetStrategy, "agreed_seconds", lambda self, start_time: 10.0)
    context = SearchContext(mult_adds=costs, budget=Budget(seconds=55))
    assert supernet(EVOLUTION, context, epochs=2).result.candidates == 4


CANDIDATES = ["random:candidates=3", "evolution:population=4,tournament=3,candidates=5", "random"]


@pytest.mark.parametrize("text", CANDIDATES)
@pytest.mark.parametrize(
    ("budget", "candidates"),
    [
        ("forward_images=299", 7),
        ("total_images=1000", 7),
        ("total_images=1000,images=450", 4),
        ("seconds=13", 7),
        ("seconds=14", 7),
        ("seconds=14.5", 8),
        ("images=500,seconds=1000", 5),
        ("images=500,seconds=3", 2),
    ],
)
def test_candidates_keep_every_limit(text, budget, candidates, costs, records):
    """Each candidate takes 100 images with a gradient, 40 without, and 2 s."""
    context = SearchContext(mult_adds=costs, budget=Budget.parse(budget))
    found = run(text, context, records, forward_images=40).result
    assert found.candidates == candidates
    assert (found.training_images, found.forward_images) == (100 * candidates, 40 * candidates)
    assert records.expected == (None if "images" not in budget else max(candidates, found.candidates)) or (
        "seconds=3" in budget
    )
    with pytest.raises(UserError, match="is less than one candidate"):
        run(text, SearchContext(mult_adds=costs, budget=Budget(total_images=139)), records, forward_images=40)


@pytest.mark.parametrize("text", CANDIDATES[:2])
def test_seconds_are_those_of_the_candidates_wherever_they_are_trained(text, costs, records):
    def context(journal):
        return SearchContext(mult_adds=costs, budget=Budget(seconds=13), journal=journal)

    here, journal = run(text, context([]), records).result, []
    if "evolution" not in text:  # whose proposals depend on the number of workers
        assert run(text, context([]), type(records)(), Service(3, 0)).result == here
    with pytest.raises(KeyboardInterrupt):
        run(text, context(journal), type(records)(), stop_at=3)
    assert run(text, context(journal), type(records)()).result == here


def test_no_epoch_follows_when_scoring_the_pool_has_spent_the_time(supernet, costs, monkeypatch):
    monkeypatch.setattr(SupernetStrategy, "agreed_seconds", lambda self, start_time: 10.0)
    context = SearchContext(mult_adds=costs, budget=Budget(seconds=25), journal=[])
    text = "nao:every=2,pool=4,new=2,top=2,batches=2,finalists=2,hidden=8,controller_epochs=5"
    assert supernet(text, context, epochs=6).result.epochs == 2
