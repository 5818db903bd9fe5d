import pytest
import torch
from numpy.random import RandomState

from search_spaces import OPERATIONS, DartsNetwork, DartsSpace, Genotype
from search_spaces.errors import UserError
from search_spaces.nni_api import SampleValidationError, model_context
from search_spaces.operations import operation
from search_spaces.zoo import zoo

SAMPLE = zoo()["PDARTS"].genotype.to_sample()


def test_labels_are_those_of_nnis_cell():
    space = DartsSpace(width=4, layers=3)
    labels = [label for label in space.simplify() if "distinct" not in label]
    assert sorted(labels) == sorted(SAMPLE)
    assert space.simplify()["normal/op_2_0"].values == list(OPERATIONS)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_freeze_context_and_genotype_give_the_same_module(stem):
    options = {"width": 4, "layers": 5, "num_classes": 7, "stem": stem, "auxiliary": True}

    def built(make):
        torch.manual_seed(3)
        return make()

    frozen = built(lambda: DartsSpace(**options)).freeze(SAMPLE)
    with model_context(SAMPLE):
        in_context = built(lambda: DartsSpace(**options))
    direct = built(lambda: DartsNetwork(Genotype.from_sample(SAMPLE), 4, 5, 7, stem, True))
    assert str(frozen) == str(in_context) == str(direct)
    assert all(torch.equal(in_context.state_dict()[key], value) for key, value in direct.state_dict().items())
    assert list(frozen.state_dict()) == list(direct.state_dict())
    frozen.load_state_dict(direct.state_dict())


def test_nnis_sampling_never_repeats_an_input():
    space = DartsSpace(width=2, layers=3)
    seen = set()
    for seed in range(30):
        sample = {}
        space.random(sample, RandomState(seed))
        seen.add(Genotype.from_sample({label: sample[label] for label in SAMPLE}))
    assert len(seen) == 30


def test_a_repeated_input_is_outside_the_space():
    space = DartsSpace(width=2, layers=3)
    assert space.contains(SAMPLE)
    repeated = SAMPLE | {"normal/input_3_0": [1], "normal/input_3_1": [1]}
    assert not space.contains(repeated)
    with pytest.raises(SampleValidationError, match="both inputs read state 1"):
        space.freeze(repeated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 1}, "layers must be at least 3, so that both kinds of cell occur, not 1"),
        ({"layers": 2}, "layers must be at least 3"),
        ({"width": 0}, "width and layers must be at least 1"),
        ({"width": 3, "stem": "imagenet"}, "the imagenet stem needs an even width, not 3"),
        ({"stem": "cifr"}, "unknown stem 'cifr' .did you mean 'cifar'"),
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        DartsSpace(**{"width": 4, "layers": 3, **options})


def test_unknown_operations_are_refused():
    with pytest.raises(UserError, match="unknown operation 'sep_conv_4x4' "):
        operation("sep_conv_4x4", 4, 1)
