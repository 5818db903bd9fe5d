"""What options say before a search about its images, against what the search counts."""

import itertools

import pytest

import strategies
from strategies.interfaces import SearchContext
from tests.strategies.cases import CANDIDATES, SUPERNETS, SUPERNETS_ONCE

LEARNED = [
    "darts",
    "darts:order=2",
    "darts:order=2,frozen_epochs=1",
    "darts:frozen_epochs=9",
    "darts:relaxation=gumbel,order=2",
]
SIZES = [(24, 24), (20, 28), (44, 20)]
"""Images of the weight and of the alpha split, in batches of 8: equal, incomplete batches, two passes."""


@pytest.mark.parametrize("text", SUPERNETS_ONCE)
def test_images_of_shared_weights(supernet, costs, text):
    options = strategies.parse(text.replace(",stop_skips=2", "")).options
    found = supernet(text.replace(",stop_skips=2", ""), SearchContext(mult_adds=costs))
    assert found.result.training_images == options.training_images(2, 24, 24, 8)
    assert found.scored_images == found.result.forward_images == options.forward_images(2, 24, 24, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sizes"),
    [*itertools.product(LEARNED[:2], SIZES), *((text, SIZES[1]) for text in LEARNED[2:])],
)
def test_images_of_both_splits(supernet, text, sizes):
    text += ",cell=plain" if ":" in text else ":cell=plain"  # incomplete batches of few pixels
    found = supernet(text, epochs=2, sizes=sizes)
    assert found.result.training_images == strategies.parse(text).options.training_images(2, *sizes, 8)


@pytest.mark.parametrize("text", [text for text in CANDIDATES if not text.startswith("score")])
def test_images_of_candidates(multi_trial, costs, text):
    options = strategies.parse(text).options
    found = multi_trial(text, SearchContext(mult_adds=costs))  # 100 images per candidate: 4 epochs of 25
    assert found.result.training_images == options.training_images(4, 25, 30)
    assert options.forward_images(4, 25, 30) == found.result.candidates * 4 * 30


def test_a_single_random_cell_takes_no_images(multi_trial):
    options = strategies.parse("random").options
    assert multi_trial("random").result.training_images == options.training_images(50, 1000, 1000) == 0
    assert options.forward_images(50, 1000, 1000) == 0


@pytest.mark.parametrize("text", SUPERNETS)
def test_a_speed_probe_is_short_and_keeps_the_step(text):
    options = strategies.parse(text).options
    probe = options.speed_probe()
    assert probe.shares_weights
    assert probe.forward_images(2, 24, 24, 8) <= 2 * 80 + 2 * 24
    kept = {"order", "cell", "recompute", "partial_channels"}
    for name in kept & set(type(options).model_fields):
        assert getattr(probe, name) == getattr(options, name)
