"""How a search is computed: bfloat16 changes its alphas and no type of its weights, and maps lie as asked."""

import pytest
import torch

import strategies
from search_spaces import DartsSpace
from search_spaces.cells.fast import FastCell
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.compute import Compute
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.conftest import Batches


def search(compute):
    torch.manual_seed(0)
    strategy = strategies.create("darts", alpha_lr=3e-2)
    images = [Batches(8, seed) for seed in range(2)]
    evaluator = SupernetEvaluator(*images, schedule=Schedule(epochs=1), compute=compute)
    strategy(RawFormatModelSpace(DartsSpace(4, 3, 3), evaluator), SequentialExecutionEngine())
    return strategy


def test_bfloat16_is_for_maps_and_not_for_weights(monkeypatch):
    monkeypatch.setattr(FastCell, "_is_batched", lambda self, x: True)  # as on a GPU
    full, half = search(Compute()), search(Compute(amp=True))
    for kind, table in full.alphas.items():
        assert half.alphas[kind].isfinite().all()
        assert not torch.equal(half.alphas[kind], table)
    assert {tensor.dtype for tensor in half.supernet.parameters()} == {torch.float32}


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_stem_gives_the_layout_of_maps(channels_last):
    device = torch.device("meta")
    strategy = strategies.create("darts")
    evaluator = SupernetEvaluator([], [], [], device=device, compute=Compute(channels_last=channels_last))
    space = strategy.mutate_model(DartsSpace(4, 3, 3))
    strategy._mutated_model_space = RawFormatModelSpace(space, evaluator)
    strategy.evaluator = evaluator
    space.to(device)
    strategy.setup()
    for weight in space.stem.parameters():
        if weight.ndim == 4:
            assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
