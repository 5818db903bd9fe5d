"""Strategies that train candidates in NNI's own experiment, with an evaluator that is not ours."""

import math

import pytest
import torch
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.hub.pytorch import DARTS as HubSpace
from nni.nas.nn.pytorch import InputChoice, ModelSpace

import strategies
from search_spaces import DartsNetwork, DartsSpace, Genotype
from search_spaces.coding import Coding
from search_spaces.errors import UserError
from search_spaces.nni_api import nni
from strategies.interfaces import SearchContext
from strategies.supernet import SupernetEvaluator
from tests.search_spaces.nni_experiment import Beside, Prefixed, run
from tests.strategies.cases import CANDIDATES
from tests.strategies.test_data_loaders import loaders

SMALL = CANDIDATES[1]
TRAINED = [text for text in CANDIDATES if not text.startswith("score:")]
SCORED = [text for text in CANDIDATES if text.startswith("score:")]


def create(text, **context):
    strategy = strategies.parse(text).create()
    strategy.context = SearchContext(**context)
    return strategy


def share(model):
    assert isinstance(model, DartsNetwork)
    nni.report_final_result(1 - model.genotype.parameter_free_share)


@pytest.mark.parametrize("form", ["raw", "simplified"])
@pytest.mark.parametrize("text", TRAINED)
def test_any_functional_evaluator_scores_the_candidates(text, form, costs):
    strategy = create(text, seed=1, mult_adds=costs)
    best = run(DartsSpace(2, 3), FunctionalEvaluator(share), strategy, form=form)
    assert strategy.result.candidates == strategy.options.total == len(strategy.history)
    assert Genotype.from_sample(best[0]) == strategy.result.genotype
    assert strategy.result.score == 1 - strategy.result.genotype.parameter_free_share
    assert strategy.result.score == max(candidate.score for candidate in strategy.history)


def test_the_seed_and_the_journal_are_the_strategys():
    journal = []
    first = create(SMALL, seed=1, journal=journal)
    run(DartsSpace(2, 3), FunctionalEvaluator(share), first)
    assert len(journal) == 16
    again, other = create(SMALL, seed=1, journal=journal), create(SMALL, seed=2)
    run(DartsSpace(2, 3), FunctionalEvaluator(lambda model: pytest.fail("trained again")), again)
    run(DartsSpace(2, 3), FunctionalEvaluator(share), other)
    assert first.history == again.history != other.history


@pytest.mark.parametrize("space", [Beside, Prefixed])
def test_choices_of_the_evaluator_and_beside_the_cells_are_genes(space):
    def score(model, lr):
        nni.report_final_result(lr + model.cells.genotype.parameter_free_share)

    strategy = create(SMALL)
    best = run(
        space(), FunctionalEvaluator(score, lr=nni.choice("lr", [10, 20])), strategy, form="simplified"
    )
    prefix = "mine/" if space is Prefixed else ""
    assert best[0]["lr"] == 20 and best[0][f"{prefix}front"] in ("convolution", "nothing")
    assert strategy.result.score == 20 + strategy.result.genotype.parameter_free_share


def test_the_limit_of_the_experiment_ends_the_search_with_the_best_so_far():
    strategy = create(SMALL)
    run(DartsSpace(2, 3), FunctionalEvaluator(share), strategy, max_models=6)
    assert strategy.result.candidates == 6 and strategy.result.genotype is not None


def test_candidates_without_a_finite_score_are_never_the_best():
    scores = iter([math.nan, -5.0, math.inf, -3.0, -4.0])
    strategy = create("random:candidates=5")
    run(DartsSpace(2, 3), FunctionalEvaluator(lambda _: nni.report_final_result(next(scores))), strategy)
    assert strategy.result.score == -3.0


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (lambda model: 0.5, "without reporting a result; its last step must be nni.report_final_result"),
        (lambda model: nni.report_final_result(math.nan), "training of all 16 candidates has diverged"),
    ],
)
def test_an_evaluator_that_reports_no_score_is_refused_with_advice(report, message):
    with pytest.raises(UserError, match=message):
        run(DartsSpace(2, 3), FunctionalEvaluator(report), create(SMALL))


@pytest.mark.parametrize("text", SCORED)
def test_zero_cost_search_refuses_an_evaluator_that_reports_no_scores(text):
    with pytest.raises(UserError, match="the score strategy needs an evaluator that reports scores, not 0"):
        run(DartsSpace(2, 3), FunctionalEvaluator(share), create(text))


def test_evaluators_of_the_other_kind_are_refused():
    with pytest.raises(UserError, match="Evolution trains candidates, and SupernetEvaluator trains none"):
        run(DartsSpace(2, 3), SupernetEvaluator(*loaders()), create(SMALL))
    with pytest.raises(UserError, match="Darts needs a SupernetEvaluator, not FunctionalEvaluator"):
        run(DartsSpace(2, 3), FunctionalEvaluator(share), strategies.create("darts"))
    with pytest.raises(UserError, match="a budget needs an evaluator that knows its training_images"):
        run(DartsSpace(2, 3), FunctionalEvaluator(share), create(SMALL, budget=100))


# NNI's hub


def hub():
    return HubSpace(width=(2, 4), num_cells=(3, 6), dataset="cifar")


def shallow(model):
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    nni.report_final_result(-sum(parameter.numel() for parameter in model.parameters()))


@pytest.mark.parametrize("form", ["raw", "simplified"])
@pytest.mark.parametrize("text", ["random:candidates=3", "evolution:population=2,tournament=2,candidates=4"])
def test_the_darts_space_of_nnis_hub_is_searched(text, form):
    strategy = create(text)
    best = run(hub(), FunctionalEvaluator(shallow), strategy, form=form)
    assert set(best[0]) == set(hub().simplify())
    assert strategy.result.genotype is None and strategy.result.candidates == strategy.options.total


@pytest.mark.parametrize("space", [hub, Beside])
@pytest.mark.parametrize("name", ["darts", "random_ws"])
def test_strategies_on_shared_weights_refuse_other_spaces(name, space):
    with pytest.raises(
        UserError, match=r"a space of cells such as DartsSpace, and nothing beside it; for (DARTS|Beside) use"
    ):
        run(space(), SupernetEvaluator(*loaders()), strategies.create(name))


def test_every_code_of_the_hubs_space_is_one_of_its_samples():
    import numpy as np

    space, rng = hub(), np.random.default_rng(0)
    mutables = space.simplify()
    coding = Coding.of(mutables)
    assert math.prod(coding.sizes) == 2 * 2 * (2 * 3 * 4 * 5) ** 4 * 7**16
    for _ in range(20):
        code = coding.random(rng)
        child = coding.mutated(code, rng)
        assert sum(one != other for one, other in zip(code, child, strict=True)) == 1
        assert space.contains(coding.sample(code)) and space.contains(coding.sample(child))


def test_choices_of_several_inputs_are_coded_and_of_any_number_refused():
    class Inputs(ModelSpace):
        def __init__(self, n_chosen):
            super().__init__()
            self.choice = InputChoice(4, n_chosen, label="inputs")

    coding = Coding.of(Inputs(2).simplify())
    assert coding.sizes == (6,) and coding.sample((5,)) == {"inputs": [2, 3]}
    assert [coding.sample((index,)) for index in coding.genes[0].neighbours(0)] == [
        {"inputs": pair} for pair in ([0, 2], [0, 3], [1, 2], [1, 3])
    ]
    with pytest.raises(UserError, match="inputs is a CategoricalMultiple, which these strategies cannot"):
        Coding.of(Inputs(None).simplify())
