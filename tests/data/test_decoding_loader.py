import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import RandomCrop

from nastransfer_nni.data.decoding_loader import seed_cpu, transform
from nastransfer_nni.data.photo_transform import PhotoTransform
from nastransfer_nni.data.sources import Source

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
