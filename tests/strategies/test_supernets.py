"""Strategies on shared weights: resumed as if never stopped, within limit and budget."""

import pytest

from search_spaces import Genotype
from search_spaces.errors import UserError
from strategies.interfaces import SearchContext
from tests.strategies.cases import SUPERNETS, SUPERNETS_ONCE

RANDOM_WS = next(text for text in SUPERNETS if text.startswith("random_ws"))


def same(one, other):
    left, right = vars(one).copy(), vars(other).copy()
    left.pop("seconds"), right.pop("seconds")
    return left == right


@pytest.mark.slow
@pytest.mark.parametrize("text", SUPERNETS)
def test_a_search_that_was_stopped_ends_like_one_that_was_not(supernet, costs, text):
    def context(journal):
        return SearchContext(seed=1, mult_adds=costs, journal=journal)

    undisturbed = supernet(text, context([]))
    steps = next(undisturbed.records.advances)
    for stop_at in {1, 4, steps - 2}:
        kept, journal = {}, []
        with pytest.raises(KeyboardInterrupt):
            supernet(text, context(journal), stop_at=stop_at, kept=kept)
        before = len(journal)
        resumed = supernet(text, context(journal), kept=kept)
        assert same(resumed.result, undisturbed.result)
        assert resumed.records.lines == undisturbed.records.lines[-len(resumed.records.lines) :]
        assert len(journal) == undisturbed.result.candidates
        assert before <= len(journal)


def test_a_checkpoint_of_another_search_is_refused_in_one_line(supernet):
    kept = {}
    supernet(RANDOM_WS, epochs=1, kept=kept)
    with pytest.raises(UserError, match=r"checkpoint is of another search .*: of RandomWs.; start anew"):
        supernet("darts", epochs=2, kept=kept)
    kept["state"]["strategy"] = "Darts"
    with pytest.raises(UserError, match=r"checkpoint is of another search .KeyError"):
        supernet("darts", epochs=2, kept=kept)


def test_the_steps_of_a_controller_show(supernet):
    advances = supernet("enas:controller_steps=3,aggregate=1,candidates=2", epochs=1).records.advances
    assert next(advances) == 24 // 8 + 3 + 2


@pytest.mark.parametrize("text", SUPERNETS_ONCE)
def test_the_limit_is_kept(supernet, costs, text):
    epochs = 2 if text.startswith("nao") else 1
    free = supernet(text, SearchContext(seed=1, mult_adds=costs), epochs=epochs).result
    limit = costs.base + (costs(free.genotype) - costs.base) * 3 // 4
    bound = supernet(text, SearchContext(seed=1, mult_adds=costs, max_mult_adds=limit), epochs=epochs).result
    assert costs(bound.genotype) <= limit < costs(free.genotype)


@pytest.mark.parametrize("text", [SUPERNETS[0], SUPERNETS[1], RANDOM_WS])
def test_the_budget_pays_for_whole_epochs(supernet, costs, text):
    found = supernet(text, SearchContext(mult_adds=costs, budget=3 * 48 + 47))
    epochs = {"darts": [48] * 3, SUPERNETS[1]: [24, 48, 48, 48]}.get(text, [24] * 7)
    assert found.result.training_images == sum(epochs[: found.result.epochs])
    assert found.result.epochs == len(epochs) or "stop_skips" in text
    assert found.records.expected == len(epochs)
    with pytest.raises(UserError, match="less than one epoch"):
        supernet(text, SearchContext(mult_adds=costs, budget=23))


def test_random_with_shared_weights_keeps_the_best_finalist(supernet):
    journal = []
    found = supernet(RANDOM_WS, SearchContext(journal=journal))
    final = [entry for entry in journal if entry["stage"] == "final"]
    screening = sorted((e for e in journal if e["stage"] == "screening"), key=lambda e: -e["top1"])
    assert [entry["genotype"] for entry in final] == [entry["genotype"] for entry in screening[:2]]
    best = max(final, key=lambda entry: entry["top1"])
    assert (found.result.score, found.result.genotype) == (best["top1"], Genotype.from_dict(best["genotype"]))


def test_seeds_draw_other_cells(supernet):
    first, second = (supernet(RANDOM_WS, SearchContext(seed=seed)).result.genotype for seed in (1, 2))
    assert first != second
