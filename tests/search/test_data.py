"""The three streams of a search: disjoint splits, decoded once, augmented only where training needs it."""

import itertools

import numpy as np
import pytest
import torch

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import memory
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import image_size, make_batches, split_images
from tests.training.conftest import image_set

PHOTOS = [(90, 70), (70, 84), (100, 73)]


def config(**options):
    return SearchConfig.create({"batch_size": 6, "workers": 0, **options})


def labels_of(stream):
    return torch.cat([labels for _, labels in stream]).tolist()


def test_splits_are_disjoint_and_have_their_shares():
    images = image_set(60, [(8, 8)], kind="PNG")
    weights, alphas = split_images(images, config(weights_share=0.5, alphas_share=0.25))
    assert (len(weights), len(alphas)) == (30, 15)
    assert not set(weights.numbers) & set(alphas.numbers)
    assert np.bincount(weights.labels).tolist() == [10, 10, 10]


def test_small_images_are_decoded_once(monkeypatch):
    decoded = []
    real = memory._fitted
    monkeypatch.setattr(memory, "_fitted", lambda *args: decoded.append(1) or real(*args))
    images = image_set(30, [(8, 8)], kind="PNG")
    make_batches(images, config(), DistributedContext())
    assert len(decoded) == 30


@pytest.mark.parametrize("sizes", [[(8, 8)], PHOTOS])
def test_streams_cover_their_splits_and_validation_is_fixed(sizes):
    images = image_set(36, sizes, kind="PNG")
    options = config(**({} if len(sizes) == 1 else {"img_size": 66}))
    weights, alphas = split_images(images, options)
    batches = make_batches(images, options, DistributedContext())
    assert sorted(labels_of(batches.weights)) == sorted(weights.labels)
    assert sorted(labels_of(batches.validation)) == sorted(alphas.labels)
    first, again = list(batches.validation), list(batches.validation)
    assert all(
        torch.equal(*pair) for pair in zip(*((one[0] for one in it) for it in (first, again)), strict=True)
    )
    epochs = []
    for epoch in (0, 1, 0):
        batches.alphas.set_epoch(epoch)
        epochs.append(torch.cat([batch for batch, _ in batches.alphas]))
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])
    assert {tuple(batch.shape[1:]) for batch, _ in itertools.chain(*vars(batches).values())} == {
        (3, image_size(images, options), image_size(images, options))
    }


def test_augmentation_of_photographs_is_an_option():
    """Crops of the whole image and no jitter leave nothing but a mirror image to chance."""
    images = image_set(36, PHOTOS, kind="PNG")
    plain = config(img_size=66, color_jitter=0, scale=(1.0, 1.0))
    default = config(img_size=66)
    spreads = []
    for options in (plain, default):
        stream = make_batches(images, options, DistributedContext()).weights
        means = []
        for epoch in range(4):
            stream.set_epoch(epoch)
            means.append(sorted(torch.cat([batch for batch, _ in stream]).mean((1, 2, 3)).tolist()))
        spreads.append(np.std(means, axis=0).mean())
    assert spreads[0] < spreads[1] / 3


def test_images_of_many_sizes_get_the_default_size():
    assert image_size(image_set(6, PHOTOS), config()) == 224
    assert image_size(image_set(6, [(8, 8)]), config()) == 8
