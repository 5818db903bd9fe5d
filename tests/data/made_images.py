"""Small image sets made up for tests."""

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
