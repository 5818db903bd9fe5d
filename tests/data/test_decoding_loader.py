import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import RandomCrop

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import memory
from nastransfer_nni.data.decoding_loader import ImageBatches, seed_cpu, transform
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.photo_transform import PhotoTransform
from nastransfer_nni.data.sources import Source
from tests.data.made_images import write_folder

POLICIES = ("", "rand-m6-mstd0.5-inc1", "3a", "augmix-m3-w3")


@dataclass
class Images:
    """As much of an image set as a transform depends on."""

    source: Source
    pixels: tuple[int, int] | None


def patched_timm(images, options, pixels, is_training):
    """Version 0.1: timm's transform, whose random resized crop is replaced for small images."""
    is_small = images.pixels == (pixels, pixels) and pixels <= 64
    composed = create_transform(
        pixels,
        is_training=is_training,
        scale=options.scale,
        ratio=options.ratio,
        hflip=0.5 if images.source.mirrored else 0.0,
        vflip=options.vflip,
        color_jitter=options.color_jitter or None,
        auto_augment=options.aa or None,
        interpolation="random" if is_training else "bicubic",
        mean=images.source.mean,
        std=images.source.std,
        crop_pct=1.0 if is_small else options.crop_pct,
        use_prefetcher=True,
    )
    if is_small and is_training:
        composed.transforms[0] = RandomCrop(pixels, padding=pixels // 8)
    return composed


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    ("own", "pixels"),
    [((32, 32), 32), ((8, 8), 8), ((32, 32), 64), ((90, 70), 66), ((90, 90), 90), (None, 32)],
)
def test_pixels_and_random_streams_are_those_of_timm(own, pixels, is_training):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*(own or (50, 40)), 3), dtype=np.uint8))
    jitters = ((), (0.4, 0.4, 0.4, 0.2))
    for mirrored, vflip, jitter, aa in itertools.product((True, False), (0.0, 0.5), jitters, POLICIES):
        images = Images(Source("made", mirrored=mirrored), own)
        options = PhotoTransform(vflip=vflip, color_jitter=jitter, aa=aa)
        pair = [create(images, options, pixels, is_training) for create in (patched_timm, transform)]
        for seed in range(2):
            outcomes = []
            for augment in pair:
                seed_cpu(seed)
                augmented = augment(image)
                drawn = (random.random(), np.random.rand(), torch.rand(()))  # noqa: NPY002 - timm draws from it
                outcomes.append((augmented, *drawn))
            assert np.array_equal(outcomes[0][0], outcomes[1][0])
            assert outcomes[0][1:] == outcomes[1][1:]  # as many random numbers were drawn


def passes(path, *, keep, workers=0, is_training=False):
    """What four passes over a set with a broken image give, two of them cut short, and all that was drawn."""
    batches = ImageBatches(
        load(str(path)),
        photo_transform=PhotoTransform(),
        pixels=8,
        batch_size=4,
        is_training=is_training,
        workers=workers,
        processes=DistributedContext(),
        keep=keep,
    )
    found = []
    for length in (1, 2, None, None):
        torch.manual_seed(0)
        found += itertools.islice(batches, length)
        found.append((torch.rand(1), torch.tensor(random.random())))
    return found, [*batches.unreadable]


@pytest.mark.parametrize("workers", [0, 1])
def test_images_for_evaluation_are_decoded_once_and_the_batches_stay_the_same(tmp_path, monkeypatch, workers):
    write_folder(tmp_path)
    (tmp_path / "train" / "b" / "1.png").write_bytes(b"broken")
    again, unreadable = passes(tmp_path, keep=False)
    decoded, decode = [], ImageSet.__getitem__
    monkeypatch.setattr(ImageSet, "__getitem__", lambda self, row: decoded.append(row) or decode(self, row))
    once, also_unreadable = passes(tmp_path, keep=True, workers=workers)
    assert len(once) == len(again) and len(unreadable) == 1 and also_unreadable == unreadable
    for (images, labels), (same_images, same_labels) in zip(again, once, strict=True):
        assert torch.equal(images, same_images) and torch.equal(labels, same_labels)
    assert workers or sorted(decoded) == list(range(15))


def test_images_are_decoded_anew_for_training_and_where_memory_is_short(tmp_path, monkeypatch):
    write_folder(tmp_path)
    first, *_, last = (
        images for images, _ in passes(tmp_path, keep=True, is_training=True)[0] if images.ndim == 4
    )
    assert not torch.equal(first, last)
    monkeypatch.setattr(memory.os, "sysconf", lambda name: 100)  # bytes in all: 10,000
    assert memory.takes_little_memory(13, (8, 8)) and not memory.takes_little_memory(14, (8, 8))
