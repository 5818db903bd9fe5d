import numpy as np
import pytest
import torch

from search_spaces.coding import Coding, decoder
from search_spaces.errors import UserError
from search_spaces.nas_bench_201 import OPERATIONS, NasBench201, NasBench201Genotype
from search_spaces.nas_bench_201.network import NasBench201Network
from search_spaces.nas_bench_201.space import NasBench201Space
from search_spaces.nni_api import ModelSpace, SampleValidationError, model_context
from tests.search_spaces.nas_bench_201.cells import CELL

SPACE = NasBench201()


def test_nni_draws_mutates_and_crosses_cells():
    space = SPACE.model_space(4, 5, 10)
    coding, rng = Coding.of(space.simplify()), np.random.default_rng(0)
    codes = [coding.random(rng) for _ in range(20)]
    for code in codes:
        genotype = SPACE.from_sample(coding.sample(code))
        mutated = SPACE.from_sample(coding.sample(coding.mutated(code, rng)))
        assert sum(a != b for a, b in zip(genotype.operations, mutated.operations, strict=True)) == 1
        assert len({SPACE.from_sample(coding.sample(near)) for near in coding.neighbours(code)}) == 24
    assert coding.sizes == (5,) * 6


def test_freezing_builds_the_network_of_the_cell():
    space = SPACE.model_space(4, 5, 3, auxiliary=True)
    frozen = space.freeze({**CELL.to_sample(), "lr": 0.1})
    with model_context(CELL.to_sample()):
        made = NasBench201Space(4, 5, 3)
    for network in (frozen, made):
        assert type(network) is NasBench201Network
        assert network.genotype == CELL
    assert frozen.auxiliary_head is not None
    assert space(torch.randn(2, 3, 8, 8)).shape == (2, 3)
    with pytest.raises(SampleValidationError):
        space.freeze({**CELL.to_sample(), "cell/op_1_0": "max_pool_3x3"})


def test_derives_the_largest_weight_of_every_edge_none_included():
    mixture = np.random.default_rng(0).random((6, 5))
    mixture[2, 0] = 2
    derived = SPACE.derive({"cell": mixture})
    assert derived.operations == tuple(OPERATIONS[column] for column in mixture.argmax(axis=1))
    assert derived.operations[2] == "none"


def test_space_knows_its_form():
    assert SPACE.edges == 6
    assert SPACE.text == "nas_bench_201"
    assert SPACE.random(np.random.default_rng(0)) == NasBench201Genotype.random(np.random.default_rng(0))
    assert SPACE.check(CELL) == CELL


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((16, 7, "cifar"), "layers must be 5 or 8, not 7"),
        ((16, 0, "cifar"), "layers must be 5, not 0"),
        ((0, 8, "cifar"), "width must be at least 1"),
        ((7, 8, "imagenet"), "needs an even width, not 7"),
        ((8, 8, "imagnet"), "unknown stem 'imagnet'"),
    ],
)
def test_refuses_sizes_that_no_network_has(size, message):
    with pytest.raises(UserError, match=message):
        SPACE.check_size(*size)


def test_refuses_partial_channels():
    with pytest.raises(UserError, match="no cells that process a part of the channels"):
        SPACE.mixed_cell(SPACE.model_space(4, 5, 10).cells[0], parts=4)


def test_candidates_of_multi_trial_strategies_are_cells():
    class Prefixed(ModelSpace, label_prefix="student"):
        def __init__(self):
            super().__init__()
            self.cells = NasBench201Space(4, 5, 3)

    for space, prefix in ((SPACE.model_space(4, 5, 10), ""), (Prefixed(), "student/")):
        choices = space.simplify()
        sample = {f"{prefix}{label}": name for label, name in CELL.to_sample().items()}
        assert set(choices) == set(sample)
        assert decoder(choices)(sample) == CELL
