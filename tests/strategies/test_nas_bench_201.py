"""What differentiable search is composed of, and every other strategy on shared weights, in NAS-Bench-201."""

import pytest
import torch
from torch.nn.functional import one_hot

from search_spaces import parse
from strategies.darts.parts import relaxation

SPACE = parse("nas_bench_201")

TEXTS = [
    "darts:order=2",
    "darts:weights_first=true,nesterov=true",  # as the authors of the space search
    "gdas",
    "snas",
    "drnas:partial_channels=1,operations=8,frozen_epochs=0",
    "beta-darts",
    "sdarts-rs",
    "sdarts-adv",
    "fair-darts",
    "oles:freeze_checks=1",
    "darts:skip_dropout=0.5,drop_path=0.2,operation_dropout=0.2",
    "random_ws:candidates=4,finalists=2,batches=1",
    "evolution:evaluate=supernet,population=3,tournament=2,candidates=4",
]


@pytest.mark.parametrize("text", TEXTS)
def test_finds_a_cell_of_the_space(supernet, text):
    found = supernet(text, epochs=1, space=SPACE.text, layers=5).result
    assert SPACE.check(found.genotype) == found.genotype


def test_a_limit_of_skips_is_kept(supernet):
    for limit in (0, 1):
        found = supernet(f"darts:max_skips={limit}", epochs=1, space=SPACE.text, layers=5).result
        assert sum(name == "skip_connect" for name in found.genotype.operations) <= limit


def test_a_search_resumes_as_if_never_stopped(supernet):
    undisturbed = supernet("gdas", epochs=3, space=SPACE.text, layers=5)
    kept = {}
    with pytest.raises(KeyboardInterrupt):
        supernet("gdas", epochs=3, space=SPACE.text, layers=5, kept=kept, stop_at=7)
    resumed = supernet("gdas", epochs=3, space=SPACE.text, layers=5, kept=kept)
    assert resumed.records.lines == undisturbed.records.lines[-len(resumed.records.lines) :]


@pytest.mark.parametrize("text", ["gdas", "darts:relaxation=gumbel-hard,bilevel=false"])
def test_a_step_in_which_every_edge_draws_none_has_no_gradients(text, supernet, monkeypatch):
    """It happens in one step of 5^6 while the alphas are equal."""
    none = SPACE.candidates.index("none")
    monkeypatch.setattr(
        relaxation, "_largest", lambda weights: one_hot(torch.full(weights.shape[:-1], none), 5).to(weights)
    )
    found = supernet(text, epochs=1, space=SPACE.text, layers=5).result
    assert SPACE.check(found.genotype) == found.genotype
