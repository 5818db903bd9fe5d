"""Mult-adds added up edge by edge, against counting them in the network."""

import numpy as np
import pytest
import torch

from search_spaces import DartsNetwork, Genotype
from search_spaces.sizes import CellCosts, mult_adds

SETTINGS = [
    (8, 6, 10, "cifar", 16),
    (5, 3, 7, "cifar", 9),
    (6, 5, 4, "imagenet", 75),
    (36, 20, 10, "cifar", 32),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_adds_up_to_what_the_network_costs(setting):
    costs = CellCosts(*setting)
    for seed in range(3):
        genotype = Genotype.random(np.random.default_rng(seed))
        with torch.device("meta"):
            network = DartsNetwork(genotype, *setting[:4])
        assert costs(genotype) == mult_adds(network, setting[4])
