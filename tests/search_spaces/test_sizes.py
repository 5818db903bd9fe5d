"""Sizes added up part by part, against counting them in the network."""

import numpy as np
import pytest
import torch

from search_spaces import parse
from search_spaces.sizes import mult_adds, parameters, part_parameters

SETTINGS = [
    ("darts", 8, 6, 10, "cifar", 16),
    ("darts:nodes=3", 5, 3, 7, "cifar", 9),
    ("darts-s4", 6, 5, 4, "imagenet", 75),
    ("darts", 36, 20, 10, "cifar", 32),
]


@pytest.mark.parametrize(("text", "width", "layers", "classes", "stem", "pixels"), SETTINGS)
def test_parts_add_up_to_the_network(text, width, layers, classes, stem, pixels):
    space, setting = parse(text), (width, layers, classes, stem, pixels)
    costs, params = space.costs(*setting), space.costs(*setting, measure=part_parameters)
    options = {"width": width, "layers": layers, "num_classes": classes, "stem": stem}
    for seed in range(3):
        genotype = space.random(np.random.default_rng(seed))
        with torch.device("meta"):
            network = space.build(genotype, is_plain=True, **options)
        assert costs(genotype) == mult_adds(network, pixels)
        assert params(genotype) == parameters(network)


@pytest.mark.parametrize(("text", "layers"), [("darts", 5), ("nas_bench_201", 5)])
@pytest.mark.parametrize(("stem", "pixels"), [("cifar", 9), ("imagenet", 70)])
def test_parts_have_the_shapes_of_the_network(text, layers, stem, pixels):
    """Every part computes what it is given, and the last one the logits."""
    parts = parse(text).parts(4, layers, 3, stem, pixels)
    made = {}
    for part in parts:
        made.setdefault(part.name, part.make().eval()(*part.inputs(batch_size=2)))
    assert made[parts[-1].name].shape == (2, 3)
    assert len({part.name for part in parts}) == len(
        {(part.operation, part.shapes, str(part.make())) for part in parts}
    )
