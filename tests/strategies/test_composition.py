"""Parts of differentiable search put together: both cells agree, and what does not fit is refused."""

import itertools
from collections import Counter

import pytest
import torch

import strategies
from search_spaces import DartsSpace
from search_spaces.errors import UserError
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.darts.options import DartsOptions
from strategies.interfaces import SearchContext
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.test_darts import Images, Silent, assert_same_search

PARTS = {
    "relaxation": ["softmax", "gumbel", "gumbel-hard", "dirichlet", "sigmoid"],
    "regularization": ["none", "beta", "zero-one", "l2"],
    "perturbation": ["none", "random", "adversarial"],
    "partial_channels": ["1", "2"],
    "edge_weights": ["false", "true"],
    "none": ["true", "false"],
    "order": ["1", "2"],
    "bilevel": ["true", "false"],
    "weights_first": ["false", "true"],
    "skip_dropout": ["0", "0.5"],
    "operation_dropout": ["0", "0.4"],
    "freeze_below": ["0", "1"],
    "max_skips": [None, "1"],
    "recompute": ["false", "true"],
    "stages": [
        None,
        "operations=8/4",
        "operations=7/4,none=false",
        "operations=8/4,add_layers=0/1,restart=true",
    ],
    "derivation": ["argmax", "projection"],
}
"""Values of every part; the first of each is that of DARTS. Stages are options that only go together."""


def is_legal(composition):
    try:
        options_of(composition)
    except UserError:
        return False
    return True


def options_of(composition):
    given = {name: value for name, value in composition.items() if value is not None}
    stages = dict(pair.split("=") for pair in given.pop("stages", "").split(",") if pair)
    if any(given.get(name, value) != value for name, value in stages.items()):
        raise UserError("the stages say otherwise")
    return strategies.check("darts", {"projection_epochs": 1, **given, **stages})


def covering():
    """Compositions in which every legal pair of values meets at least once, each as full as it can be.

    Those that are in most of the open pairs come first, so that there are few compositions.
    """
    values = [(name, value) for name, options in PARTS.items() for value in options[1:]]
    open_pairs = {
        (one, other)
        for one, other in itertools.combinations(values, 2)
        if one[0] != other[0] and is_legal(dict([one, other]))
    }
    while open_pairs:
        composition = dict(min(open_pairs))
        left = Counter(itertools.chain.from_iterable(open_pairs))
        for name, value in sorted(values, key=lambda each: -left[each]):
            larger = composition | {name: value}
            if name not in composition and is_legal(larger):
                composition = larger
        met = {pair for pair in open_pairs if set(pair) <= set(composition.items())}
        assert met
        open_pairs -= met
        yield composition


COVERING = list(covering())
PROJECTED = [composition for composition in COVERING if "derivation" in composition]
COVERING = [composition for composition in COVERING if composition not in PROJECTED]
COVERING += [composition | {"partial_channels": "1"} for composition in COVERING]

FEW = COVERING[1::16]


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Rates(Silent):
    """Keeps the learning rates of the epochs."""

    def __init__(self, rates):
        self.rates = rates

    def log(self, split, step, epoch, **values):
        if split == "train" and self.rates is not None:
            self.rates.append(values["lr"])


def two_steps(options, width=2, layers=3, epochs=1, rates=None):
    """A search with epochs of two steps; 8 px, batches of 4."""
    torch.manual_seed(0)
    labels = torch.arange(16) % 4
    # With seed 1, multiplying the images by 1 + 1e-14 changes a search with the plain cell.
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(16, 3, 8, 8, generator=generator) + labels[:, None, None, None] / 3
    weights, alphas = (Images(images[half], labels[half], 4) for half in (slice(8), slice(8, 16)))
    strategy = options.create()
    evaluator = SupernetEvaluator(
        weights, alphas, alphas, Schedule(epochs=epochs), Rates(rates), context=SearchContext(seed=2)
    )
    strategy(RawFormatModelSpace(DartsSpace(width, layers, 4), evaluator), SequentialExecutionEngine())
    return strategy


def assert_cells_agree(composition):
    common = {**composition, "alpha_lr": 3e-2, "freeze_checks": 1}
    epochs = options_of(common).stages
    fast = two_steps(options_of(common | {"cell": "fast"}), epochs=epochs)
    plain = two_steps(options_of(common | {"cell": "plain", "recompute": "false"}), epochs=epochs)
    assert_same_search(fast, plain)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("composition", FEW, ids=str)
def test_both_cells_agree_on_pairs_of_parts(composition):
    assert_cells_agree(composition)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("composition", [one for one in COVERING if one not in FEW], ids=str)
def test_both_cells_agree_on_all_pairs_of_parts(composition):
    assert_cells_agree(composition)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("composition", PROJECTED, ids=str)
def test_both_cells_agree_on_projections_with_other_parts(composition, monkeypatch):
    """The first two choices of 17 in each kind of cell."""
    monkeypatch.setattr("strategies.darts.options.PROJECTIONS", 2)
    assert_cells_agree(composition)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relaxation=gumbel-hard,order=2", "which relaxation=gumbel-hard cannot"),
        ("bilevel=false,order=2", "order=2 needs bilevel=true"),
        ("temperature_min=2", "temperature_min=2 is above temperature=1"),
        ("regularization=zero-one", "it needs relaxation=sigmoid"),
        ("regularization=beta,relaxation=sigmoid", "about competing candidates"),
        ("perturbation=random,relaxation=sigmoid", "relaxation=sigmoid has none"),
        ("perturbation=adversarial,relaxation=gumbel-hard", "relaxation=gumbel-hard has none"),
        ("perturbation=random,bilevel=false", "needs bilevel=true"),
        ("freeze_below=0.4,order=2", "needs order=1"),
        ("freeze_below=0.4,bilevel=false", "needs order=1, bilevel=true"),
        ("operations=8/5,partial_channels=4/2/1", "different numbers of stages"),
        ("operations=5/8", "cannot keep more"),
        ("none=false,operations=8/4", "first stage has all 7 candidates"),
        ("operations=5", "first stage has all 8 candidates"),
        ("skip_dropout=0.5,order=2", "skip_dropout .* needs order=1"),
        ("freeze_below=0.4,operations=8/4", "not supported with several stages"),
        ("add_layers=0/6", "needs restart=true"),
        ("partial_channels=2/4", "without restart=true"),
        ("derivation=projection,operations=8/4", "among all candidates"),
        ("derivation=projection,max_skips=2", "max_skips is not supported"),
        ("derivation=projection,stop_skips=2", "stop_skips is not supported"),
        ("recompute=true,cell=plain", "not supported with cell=plain"),
        ("relaxation=dirichlt", "did you mean 'dirichlet'"),
        ("operations=1", "operations: .*greater than or equal to 2"),
        ("operations=7/x", "operations: .*valid integer"),
    ],
)
def test_refuses_what_does_not_go_together(text, message):
    with pytest.raises(UserError, match=message) as refusal:
        strategies.parse(f"darts:{text}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("add_layers=-1/0,restart=true", (8, 4, 3), "leaves 2 of 3 cells"),
        ("operations=8/5/3,frozen_epochs=10", (30, 4, 5), "without a step of the alphas"),
        ("operations=8/5/3", (2, 4, 5), "3 stages have 0 of 2 epochs"),
        ("partial_channels=6/4", (8, 12, 5), None),
        ("partial_channels=6/4", (8, 16, 5), "partial_channels = 6 does not divide"),
        ("derivation=projection,frozen_epochs=8", (8, 4, 5), "needs alphas"),
    ],
)
def test_refuses_a_search_that_the_stages_do_not_fit(text, size, message):
    options = strategies.parse(f"darts:{text}").options
    if message is None:
        options.check_search(*size)
    else:
        with pytest.raises(UserError, match=message):
            options.check_search(*size)


def test_values_of_stages_are_read_and_written_alike():
    options = strategies.parse("darts:operations=7/4,none=false").options
    assert (options.operations, options.stages, options.in_stage("operations", 1)) == ((7, 4), 2, 4)
    assert options.changed() == {"operations": "7/4", "none": False}
    assert DartsOptions(**options.changed()) == options
    assert strategies.check("darts", {"partial_channels": 4}).changed() == {"partial_channels": 4}
