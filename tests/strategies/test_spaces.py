"""Every kind of strategy in spaces other than DARTS's own, and what cannot be searched."""

import pytest
import torch

import strategies
from search_spaces import parse
from search_spaces.cells.mixed import MixedCell
from search_spaces.errors import UserError
from search_spaces.geometry import CellGeometry
from strategies.interfaces import SearchContext

SHARED = [
    "darts",
    "gdas",
    "pc-darts:partial_channels=2,frozen_epochs=0",
    "drnas:partial_channels=1,operations=8,frozen_epochs=0",
    "fair-darts",
    "sdarts-rs",
    "random_ws:candidates=4,finalists=2,batches=1",
    "enas:controller_steps=1,aggregate=2,candidates=2,hidden=4",
    "evolution:evaluate=supernet,population=3,tournament=2,candidates=4",
]


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("text", SHARED)
def test_methods_search_a_space_whose_edges_differ(supernet, text):
    space = parse("darts-s1")
    found = supernet(text, epochs=1, space=space.text).result
    assert space.contains(found.genotype)


@pytest.mark.parametrize("name", ["darts-s4", "darts:nodes=2", "nas_bench_201"])
@pytest.mark.parametrize("text", ["darts", "enas:controller_steps=1,aggregate=2,candidates=2,hidden=4"])
def test_other_spaces_are_searched(supernet, text, name):
    space = parse(name)
    found = supernet(text, epochs=1, space=name, layers=5).result
    assert space.check(found.genotype) == found.genotype


@pytest.mark.parametrize("name", ["darts-s1", "darts-s3"])
def test_fast_cells_compute_reduced_spaces_as_plain_ones_do(supernet, double, name):
    plain, fast = (
        supernet(f"darts:alpha_lr=0.1,cell={cell}", epochs=1, space=name).strategy
        for cell in ("plain", "fast")
    )
    for kind, table in plain.alphas.items():
        assert torch.allclose(fast.alphas[kind], table, rtol=0, atol=1e-9)
    assert fast.result.genotype == plain.result.genotype


def test_a_limit_is_kept_in_a_reduced_space(supernet):
    space = parse("darts-s2")
    costs = space.costs(8, 6, 10, "cifar", 16)
    free = supernet("darts", SearchContext(mult_adds=costs), epochs=1, space=space.text).result
    limit = costs.base + (costs(free.genotype) - costs.base) * 3 // 4
    context = SearchContext(mult_adds=costs, max_mult_adds=limit)
    bound = supernet("darts", context, epochs=1, space=space.text).result
    assert space.contains(bound.genotype)
    assert costs(bound.genotype) <= limit < costs(free.genotype)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("darts:drop_path=0.5", "darts-s2"),
        ("random_ws:candidates=4,finalists=2,batches=1", "darts-s4"),
    ],
)
def test_dropped_edges_and_noise_resume_as_if_never_stopped(supernet, text, space):
    def context(journal):
        return SearchContext(seed=1, journal=journal)

    undisturbed = supernet(text, context([]), space=space)
    steps = next(undisturbed.records.advances)
    for stop_at in (4, steps - 2):
        kept, journal = {}, []
        with pytest.raises(KeyboardInterrupt):
            supernet(text, context(journal), space=space, kept=kept, stop_at=stop_at)
        torch.rand(3)
        resumed = supernet(text, context(journal), space=space, kept=kept)
        assert resumed.records.lines == undisturbed.records.lines[-len(resumed.records.lines) :]


def test_the_dropout_of_edges_grows_to_its_last_value(supernet):
    strategy = supernet("darts:drop_path=0.5", epochs=3, space="darts-s2").strategy
    assert [cell.drop_path for cell in strategy.supernet.cells] == [0.5] * 3
    assert [strategy._drop_path(epoch) for epoch in range(3)] == [0, 0.25, 0.5]


def test_a_dropped_edge_is_zero_for_some_images_and_scaled_for_the_others():
    """As in the authors' code: an image keeps an edge, divided by the probability to keep it, or loses it."""
    cell = MixedCell(CellGeometry("normal", 4, 4, 4, False))
    cell.drop_path, cell.generator = 0.25, torch.Generator().manual_seed(0)
    x = torch.rand(4000, 2, 1, 1) + 1
    ratio = (cell.dropped(x) / x * 0.75).round(decimals=5)
    assert torch.equal(ratio[:, 0], ratio[:, 1])
    assert set(ratio.flatten().tolist()) == {0.0, 1.0}
    assert abs(float(ratio.mean()) - 0.75) < 0.03
    cell.eval()
    assert cell.dropped(x) is x


@pytest.mark.parametrize(
    ("text", "space", "complaint"),
    [
        ("p-darts", "darts-s2", "operations=8/5/3 prunes the candidates of darts stage by stage; darts-s2"),
        ("darts:operations=8/4", "nas_bench_201", "operations=8/4 prunes .* nas_bench_201 has others"),
        ("pc-darts", "nas_bench_201", "partial_channels=4 is not supported in nas_bench_201"),
        ("darts-pt", "darts:nodes=3", "derivation=projection needs 4 nodes of two inputs"),
        ("darts:recompute=true", "darts-s4", "recompute needs the fast search-time cell"),
    ],
)
def test_what_a_strategy_cannot_search_is_refused(text, space, complaint):
    with pytest.raises(UserError, match=complaint):
        strategies.parse(text).options.check_space(parse(space))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("drop_path=0.2,order=2", "drop_path draws anew"),
        ("drop_path=0.2,recompute=true", "not supported with"),
    ],
)
def test_dropped_edges_do_not_go_with_everything(options, complaint):
    with pytest.raises(UserError, match=complaint):
        strategies.parse(f"darts:{options}")
