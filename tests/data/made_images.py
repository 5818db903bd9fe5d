"""Small image sets made up for tests."""

import io

import numpy as np
from PIL import Image


def write_folder(root, split="train", classes=("b", "a10", "a9"), per_class=5, seed=0, size=(12, 10)):
    """An image folder of random PNGs; returns {class: [pixels uint8 [H, W, 3]]}."""
    rng = np.random.default_rng(seed)
    made = {}
    for name in classes:
        (root / split / name).mkdir(parents=True)
        made[name] = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(per_class)]
        for number, pixels in enumerate(made[name]):
            Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return made


def encoded(shade, form="PNG"):
    """The bytes of an image file of 4x4 pixels of one grey."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), shade, dtype=np.uint8)).save(file, form)
    return file.getvalue()


def write_images(root, *names):
    """Image files of these names under `root`, each of another grey; folders are made as they are needed."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(number))
    return root
