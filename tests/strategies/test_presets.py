"""Published methods as presets: their values, those of the search, and where each leaves darts."""

import functools

import pytest
import torch

import strategies
from nastransfer_nni.search.config import SearchConfig
from search_spaces import Genotype
from strategies.presets import PRESETS
from tests.strategies.test_composition import two_steps

SMALL = {
    "pc-darts": "partial_channels=2,frozen_epochs=0",
    "p-darts": "add_layers=0/0/1,frozen_epochs=0",
    "drnas": "partial_channels=2/2,frozen_epochs=0",
    "oles": "freeze_checks=1,freeze_below=1",
    "darts-pt": "projection_epochs=1",
}
"""Options with which presets fit a small supernet."""


def stops(strategy):
    """Whether the search is over once its normal cell has two skips."""
    strategy._had_fewer_skips = True
    skips, convs = (
        [("skip_connect", state) for state in (0, 1)],
        [("sep_conv_3x3", state) for state in (0, 1)],
    )
    strategy.result.genotype = Genotype([*skips, *3 * convs], 4 * convs)
    return strategy.is_over()


OWN_PATH = {
    "darts+": stops,
    "p-darts": lambda strategy: len(strategy.supernet.cells) == 4,
    "oles": lambda strategy: bool(strategy._freezing and strategy._freezing.frozen.any()),
    "darts-pt": lambda strategy: strategy.mixture()["normal"].detach().eq(1).any(),
}
"""What shows in a small search besides other alphas."""


def small(name, **more):
    return strategies.parse(f"{name}:{SMALL.get(name, 'alpha_weight_decay=1e-3')}").options.model_copy(
        update={"alpha_lr": 3e-4, "alpha_scale": 1e-3, **more}
    )


@functools.cache
def darts(epochs):
    return two_steps(small("darts"), epochs=epochs)


NAMES = [name for name, _, _ in PRESETS if name != "beta-darts"]
STAGED = ("p-darts", "drnas")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in STAGED else name for name in NAMES]
)
def test_a_preset_leaves_the_path_of_darts(name, monkeypatch):
    monkeypatch.setattr("strategies.darts.options.PROJECTIONS", 1)  # of darts-pt, which has 17
    epochs = 3 if name in STAGED else 1
    strategy = two_steps(small(name), epochs=epochs)
    if name in OWN_PATH:
        assert OWN_PATH[name](strategy) and not OWN_PATH[name](darts(epochs))
    else:
        ours, theirs = (one.alphas["normal"].detach() for one in (strategy, darts(epochs)))
        assert not torch.equal(ours[:, 1:], theirs[:, 1:])


def test_beta_decay_pulls_from_the_second_epoch_on():
    """Its weight is 0 in the first."""
    first, second = (
        [two_steps(small(name), epochs=epochs).alphas["normal"].detach() for name in ("darts", "beta-darts")]
        for epochs in (1, 2)
    )
    assert torch.equal(*first) and not torch.equal(*second)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pc-darts", {"batch_size": 256, "lr": 0.1, "min_lr": 0.0, "epochs": 50}),
        ("p-darts", {"batch_size": 96, "layers": 5, "epochs": 75, "min_lr": 0.0}),
        ("drnas", {"width": 36, "layers": 20, "lr": 0.1, "batch_size": 64}),
        ("gdas", {"epochs": 250, "batch_size": 256, "weight_decay": 5e-4}),
        ("darts", {"epochs": 50, "batch_size": 64, "lr": 0.025, "min_lr": 0.001}),
    ],
)
def test_a_search_takes_the_options_of_the_method(name, expected):
    for strategy in (name, strategies.parse(name)):  # a study has read it already
        config = SearchConfig.create({"strategy": strategy})
        assert {option: getattr(config, option) for option in expected} == expected
    assert SearchConfig.create({"strategy": name, "batch_size": 7}).batch_size == 7


def test_a_search_that_the_stages_do_not_fit_is_refused_before_it_starts():
    with pytest.raises(ValueError, match="3 stages have 10 of 30 epochs each"):
        SearchConfig.create({"strategy": "p-darts", "epochs": 30})
