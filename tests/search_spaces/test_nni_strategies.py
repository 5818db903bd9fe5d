"""NNI's own strategies on `DartsSpace`, alone and beside other choices, and those that cannot search it."""

import importlib.util

import pytest
import torch
from nni.mutable import SampleValidationError
from nni.nas import strategy as nni_strategies
from nni.nas.evaluator import FunctionalEvaluator
from torch.utils.data import TensorDataset

from search_spaces import DartsNetwork, DartsSpace, Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import NODES, labels
from search_spaces.nni_api import nni
from tests.search_spaces.nni_experiment import Beside, Prefixed, run

MULTI_TRIAL = {
    "Random": {"seed": 0},
    "GridSearch": {"seed": 0},
    "RegularizedEvolution": {"population_size": 3, "sample_size": 2, "seed": 0},
}


def few_parameter_free(model):
    nni.report_final_result(-model.genotype.parameter_free_share)


def parts(model, factor):
    assert isinstance(model.cells, DartsNetwork)
    assert type(model.front) in (torch.nn.Conv2d, torch.nn.Identity)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    nni.report_final_result(factor * model.cells.genotype.parameter_free_share)


@pytest.mark.parametrize("form", ["raw", "simplified"])
@pytest.mark.parametrize("name", MULTI_TRIAL)
def test_nnis_multi_trial_strategies_search_the_space(name, form):
    strategy = getattr(nni_strategies, name)(**MULTI_TRIAL[name])
    best = run(DartsSpace(2, 3), FunctionalEvaluator(few_parameter_free), strategy, 5, form)
    shares = [Genotype.from_sample(sample).parameter_free_share for sample in best]
    assert len(best) == 3 and shares == sorted(shares)


@pytest.mark.parametrize("space", [Beside, Prefixed])
@pytest.mark.parametrize("name", MULTI_TRIAL)
def test_the_space_stands_beside_other_choices(name, space):
    evaluator = FunctionalEvaluator(parts, factor=nni.choice("factor", [1, 2]))
    strategy = getattr(nni_strategies, name)(**MULTI_TRIAL[name])
    best = run(space(), evaluator, strategy, 3, "simplified" if space is Prefixed else "raw")
    assert all(len(sample) == len(labels(NODES)) + 2 for sample in best)


def test_a_space_with_more_choices_runs_forward_and_freezes():
    space = Beside()
    assert space(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
    sample = {}
    space.random(sample)
    cells = space.freeze(sample).cells
    assert cells.genotype == Genotype.from_sample({label: sample[label] for label in labels(NODES)})
    assert space.cells.freeze(sample | {"lr": 0.1}).genotype == cells.genotype
    with pytest.raises(SampleValidationError):
        space.freeze({**sample, "normal/input_2_0": [0], "normal/input_2_1": [0]})


def lightning():
    from nni.nas.evaluator.pytorch import Classification, DataLoader

    images = TensorDataset(torch.randn(8, 3, 8, 8), torch.arange(8) % 4)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return Classification(
        train_dataloaders=DataLoader(images, batch_size=4),
        val_dataloaders=DataLoader(images, batch_size=4),
        num_classes=4,
        max_epochs=1,
        logger=False,
        accelerator="cpu",
        **quiet,
    )


@pytest.mark.filterwarnings("ignore")
def test_nnis_random_one_shot_trains_paths_of_the_space():
    strategy = nni_strategies.RandomOneShot()
    space = DartsSpace(2, 3, num_classes=4)
    (sample,) = run(space, lightning(), strategy)
    Genotype.from_sample(sample)
    for seed in range(20):
        torch.manual_seed(seed)
        Genotype.from_sample(strategy.oneshot_module.resample())
    assert space(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["DARTS", "GumbelDARTS", "Proxyless", "ENAS"])
def test_nnis_other_one_shot_strategies_refuse_a_constraint(name):
    with pytest.raises(TypeError, match=r"only support.* categorical variables, but got .*DistinctInputs"):
        run(DartsSpace(2, 3, num_classes=4), lightning(), getattr(nni_strategies, name)())


def test_tuners_are_refused_with_the_reason():
    with pytest.raises(UserError, match=r"NNI's TPE .* two inputs of a node, which must differ, one by one"):
        run(DartsSpace(2, 3), FunctionalEvaluator(few_parameter_free), nni_strategies.TPE(), 3)


@pytest.mark.skipif(
    importlib.util.find_spec("tianshou") is not None, reason="NNI refuses it without tianshou"
)
def test_nnis_reinforcement_learning_needs_a_package_that_is_not_installed():
    with pytest.raises(ImportError, match="tianshou"):
        nni_strategies.PolicyBasedRL()
