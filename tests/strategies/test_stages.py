"""Stages and projection: what changes between them, that both cells agree, and that searches resume."""

import pytest
import torch

import strategies
from search_spaces.genotype import KINDS
from strategies.interfaces import SearchContext
from tests.strategies.cases import STAGED
from tests.strategies.test_composition import double, two_steps  # noqa: F401
from tests.strategies.test_darts import assert_same_search

P_DARTS = "p-darts:frozen_epochs=0,add_layers=0/1/2,alpha_lr=3e-2"
DR_NAS = "drnas:partial_channels=4/2,frozen_epochs=1,alpha_lr=3e-2"
PROJECTED = "darts-pt:projection_epochs=1,alpha_lr=3e-2"


def both_cells(text, epochs, **size):
    options = strategies.parse(text).options
    return [
        two_steps(options.model_copy(update={"cell": cell}), epochs=epochs, **size)
        for cell in ("fast", "plain")
    ]


@pytest.mark.usefixtures("double")
def test_p_darts_grows_and_prunes():
    fast, plain = both_cells(P_DARTS, epochs=3)
    assert_same_search(fast, plain)
    assert len(fast.supernet.cells) == 3 + 2
    for kind in KINDS:
        assert fast.kept[kind].sum(dim=1).tolist() == [3] * 14
    assert sum(name == "skip_connect" for name, _ in fast.result.genotype.normal) <= 2


@pytest.mark.usefixtures("double")
def test_drnas_prunes_and_widens():
    fast, plain = both_cells(DR_NAS, epochs=4, width=4)
    assert_same_search(fast, plain)
    for kind in KINDS:
        assert fast.kept[kind].sum(dim=1).tolist() == [4] * 14
        assert not fast.kept[kind][:, 0].any()
    assert fast.supernet.cells[0].edges[0].computed == 2


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_a_projection_decides_every_edge():
    fast, plain = both_cells(PROJECTED, epochs=1)
    assert_same_search(fast, plain)
    assert fast.result.epochs == 1 + 17
    mixture = fast.mixture()
    for kind in KINDS:
        chosen = {(name, state) for pair in fast.result.genotype.nodes(kind) for name, state in pair}
        assert len(chosen) <= 8 and (mixture[kind].detach().sum(dim=1) > 0).sum() == 8


@pytest.mark.slow
@pytest.mark.parametrize(("text", "epochs"), zip(STAGED, (3, 4, 1), strict=True))
def test_stages_resume_and_count_their_images(supernet, text, epochs):
    undisturbed = supernet(text, SearchContext(seed=1), epochs=epochs)
    options = strategies.parse(text).options
    assert undisturbed.result.training_images == options.training_images(epochs, 24, 24, 8)
    assert undisturbed.scored_images == undisturbed.result.forward_images
    assert undisturbed.scored_images == options.forward_images(epochs, 24, 24, 8)
    kept = {}
    for stop_at in (4, 5):  # in the second epoch, and then in the third
        with pytest.raises(KeyboardInterrupt):
            supernet(text, SearchContext(seed=1), epochs=epochs, stop_at=stop_at, kept=kept)
    resumed = supernet(text, SearchContext(seed=1), epochs=epochs, kept=kept)
    for name in ("genotype", "score", "training_images", "epochs"):
        assert getattr(resumed.result, name) == getattr(undisturbed.result, name)
    assert resumed.records.lines == undisturbed.records.lines[-len(resumed.records.lines) :]


@pytest.mark.slow
def test_a_projection_keeps_the_limit(supernet, costs):
    limit = costs.base + 1_000
    context = SearchContext(seed=1, mult_adds=costs, max_mult_adds=limit)
    assert costs(supernet(PROJECTED, context, epochs=1).result.genotype) <= limit


def test_the_learning_rate_of_a_second_stage_starts_again():
    """As the authors' code of DrNAS does: 0.1 at epoch 25 of 50, and then 0.1 * (1 + cos(pi * t / 50))."""
    rates = []
    options = strategies.parse("darts:operations=8/4").options
    strategy = two_steps(options, epochs=4, rates=rates)
    start = strategy.evaluator.schedule.lr
    low = strategy.evaluator.schedule.min_lr
    fall = [1 + torch.cos(torch.tensor(torch.pi * t / 4)).item() for t in range(4)]
    assert rates == pytest.approx(
        [
            low + (start - low) * fall[0] / 2,
            low + (start - low) * fall[1] / 2,
            start,
            low + (start - low) * fall[3] / fall[2],
        ]
    )


def test_a_stage_without_dropout_of_skips_has_none(supernet):
    """Whether the search has come from a stage with it, or has resumed."""
    text = "darts:operations=8/5,skip_dropout=0.4/0"
    undisturbed = supernet(text, epochs=2)
    assert {cell.skip_dropout for cell in undisturbed.strategy.supernet.cells} == {0}
    kept = {}
    with pytest.raises(KeyboardInterrupt):
        supernet(text, epochs=2, kept=kept, stop_at=4)
    resumed = supernet(text, epochs=2, kept=kept)
    assert resumed.records.lines == undisturbed.records.lines[-len(resumed.records.lines) :]
