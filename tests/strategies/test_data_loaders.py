"""Searches on ordinary DataLoaders, also inside an NNI experiment of one's own."""

import io

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import strategies
from search_spaces import DartsSpace
from search_spaces.errors import UserError
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.data_loaders import LoaderBatches
from strategies.supernet import Schedule, SupernetEvaluator


def loaders(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.randn(48, 3, 8, 8, generator=generator), torch.arange(48) % 3
    splits = [TensorDataset(images[part], labels[part]) for part in (slice(0, 24), slice(24, 48))]
    return [
        DataLoader(split, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(7))
        for split in splits
    ]


def search(weights, alphas, text="darts", **options):
    torch.manual_seed(0)
    strategy = strategies.parse(text).create()
    evaluator = SupernetEvaluator(weights, alphas, schedule=Schedule(epochs=2), **options)
    strategy(RawFormatModelSpace(DartsSpace(2, 3, 3), evaluator), SequentialExecutionEngine())
    return strategy.result


def test_epochs_have_orders_of_their_own_that_repeat():
    batches = LoaderBatches(loaders()[0], torch.device("cpu"))
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(torch.cat([images for images, _ in batches]))
    assert torch.equal(orders[0], orders[2]) and not torch.equal(orders[0], orders[1])
    assert (batches.samples, len(batches), batches.batch_size) == (24, 3, 8)


def test_a_search_resumes_after_an_epoch_as_if_it_had_not_stopped():
    whole = search(*loaders())
    assert whole.epochs == 2 and whole.training_images == 2 * 48

    class Stopped(Exception):
        pass

    states = []

    def save(state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        states.append(torch.load(file, weights_only=True))
        raise Stopped

    with pytest.raises(Stopped):
        search(*loaders(), save=save)
    resumed = search(*loaders(), resume=states[0])
    assert (resumed.genotype, resumed.score) == (whole.genotype, whole.score)


def test_a_loader_without_a_batch_size_is_refused():
    with pytest.raises(UserError, match="batch_size"):
        LoaderBatches(DataLoader(TensorDataset(torch.zeros(4)), batch_size=None), torch.device("cpu"))
