"""Validation of every n-th epoch: what is found stays the same, and the last epoch is always validated."""

import pytest
import torch

import strategies
from search_spaces.nni_api import nni
from strategies.budget import Budget
from strategies.interfaces import SearchContext
from strategies.supernet import SupernetStrategy

TEXTS = [
    "darts",
    "random_ws:candidates=4,finalists=2,batches=1",
    "enas:controller_steps=1,aggregate=2,candidates=2,hidden=8",
]


def tensors(value):
    """All tensors of a checkpoint, in its order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def validated(found):
    """The epochs that were validated."""
    return [line[2] for line in found.records.lines if line[0] == "validation" and line[2] < 3]


@pytest.mark.parametrize("text", [*TEXTS[:2], pytest.param(TEXTS[2], marks=pytest.mark.slow)])
def test_a_search_finds_the_same_with_fewer_validations(supernet, text, monkeypatch):
    shown = []
    monkeypatch.setattr(nni, "report_intermediate_result", shown.append)
    kept = {interval: {} for interval in (1, 2)}
    every, rare = (supernet(text, epochs=3, kept=kept[n], val_interval=n) for n in (1, 2))
    assert validated(every) == [0, 1, 2] and validated(rare) == [1, 2] and len(shown) == 3 + 2
    assert (rare.result.genotype, rare.result.score) == (every.result.genotype, every.result.score)
    pairs = zip(*(tensors(state["state"]) for state in kept.values()), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    options = strategies.parse(text).options
    skipped = options.skipped_images(3, 24, 8, 2)
    assert rare.scored_images == rare.result.forward_images == every.result.forward_images - skipped
    assert [line[1] for line in rare.records.lines if line[0] == "architecture"][:3] == [0, 1, 2]


def test_a_search_that_ends_early_validates_its_last_epoch(supernet, monkeypatch):
    """Epochs of 10 s, of which the third, the last within 25 s, would have had no validation."""
    monkeypatch.setattr(SupernetStrategy, "agreed_seconds", lambda self, start_time: 10.0)
    found = supernet("darts", SearchContext(budget=Budget(seconds=25)), epochs=9, val_interval=4)
    assert (found.result.epochs, validated(found)) == (3, [2])
    assert found.result.score == next(
        line[3]["top1"] for line in found.records.lines if line[0] == "validation"
    )


def test_a_budget_of_images_without_a_gradient_counts_the_validations(supernet):
    """Two validations of 24 images: four epochs, of which every second one is validated."""
    context = SearchContext(budget=Budget(forward_images=2 * 24 + 1))
    found = supernet("darts", context, val_interval=2)
    assert (found.result.epochs, found.result.forward_images) == (4, 2 * 24)
