import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import Target


@dataclass(frozen=True)
class Files:
    """Image files in memory."""

    contents: list[bytes]
    stamp: str = "0"

    def __len__(self):
        return len(self.contents)

    def encoded(self, number):
        return self.contents[number]

    def file_name(self, number):
        return f"photo{number}.jpg"


def image_set(count, sizes, split="train", classes=3, broken=(), kind="JPEG"):
    """Noisy images whose class is their colour, with some of them cut short."""
    rng = np.random.default_rng({"train": 0, "test": 1}[split])
    labels = np.arange(count, dtype=np.int64) % classes
    contents = []
    for number, label in enumerate(labels):
        width, height = sizes[number % len(sizes)]
        pixels = rng.integers(0, 100, (height, width, 3))
        pixels[..., label % 3] += 120
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, kind)
        content = file.getvalue()
        contents.append(content[: len(content) // 2] if number in broken else content)
    source = Source("colours", pixels=sizes[0] if len(sizes) == 1 else None)
    names = tuple(f"class{label}" for label in range(classes))
    return ImageSet(source, split, names, labels, Files(contents), np.arange(count, dtype=np.int64))


@pytest.fixture
def small_target():
    """Images that fit in memory."""
    return Target(image_set(30, [(8, 8)], kind="PNG"), image_set(11, [(8, 8)], "test", kind="PNG"), 8)


@pytest.fixture
def photo_target():
    """Images of several sizes, of which one cannot be decoded in each part."""
    sizes = [(90, 70), (70, 84), (100, 73)]
    train = image_set(26, sizes, broken=(5,))
    return Target(train, image_set(11, sizes, "test", broken=(3,)), 66)


def protocol(**options):
    defaults = {"epochs": 3, "batch_size": 6, "width": 4, "layers": 3, "lr": 0.05, "clip_grad": 5.0}
    return Recipe(protocol="test", **{**defaults, **options})


def network(options: Recipe, target: Target, dtype=torch.float32):
    torch.manual_seed(1)
    model = DartsModel(
        "DARTS_V2",
        options.width,
        options.layers,
        target.num_classes,
        stem="cifar",
        auxiliary=options.auxiliary_weight > 0,
    )
    return model.to(dtype)
