"""No step waits for its device: on the meta device, which has no numbers, an epoch runs up to its sum."""

import pytest
import torch

import strategies
from search_spaces import DartsSpace
from search_spaces.nni_api import RawFormatModelSpace
from strategies.distributed import DistributedContext
from strategies.meters import Meter
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.conftest import Batches

META = torch.device("meta")

QUICK = ["darts", "fair-darts", "random_ws:candidates=6,finalists=2,batches=2"]
OTHERS = [
    "darts:order=2",
    "pc-darts:partial_channels=2,frozen_epochs=0",
    "beta-darts",
    "snas",
    "sdarts-rs",
    "sdarts-adv",
    "enas:controller_steps=2,aggregate=3,candidates=4,hidden=8",
]
"""Without gdas and drnas, which draw on the CPU what their steps compute, from alphas on the device."""


class SumReached(Exception):
    """The epoch is over but for its sum, the one thing that it waits for."""


class OnMeta(Batches):
    def __iter__(self):
        return ((images.to(META), labels.to(META)) for images, labels in super().__iter__())


@pytest.mark.parametrize("text", [*QUICK, *(pytest.param(text, marks=pytest.mark.slow) for text in OTHERS)])
def test_an_epoch_waits_for_its_sum_only(text, monkeypatch):
    def reached(meter):
        raise SumReached

    monkeypatch.setattr(Meter, "compute", reached)
    strategy, images = strategies.parse(text).create(), OnMeta(8, 0)
    evaluator = SupernetEvaluator(
        images, images, images, Schedule(epochs=3), device=META, processes=DistributedContext(device=META)
    )
    supernet = strategy.mutate_model(DartsSpace(2, 3, 3))
    strategy._mutated_model_space = RawFormatModelSpace(supernet, evaluator)
    strategy.mutate_evaluator(evaluator)
    with pytest.raises(SumReached):
        strategy.search(supernet)
