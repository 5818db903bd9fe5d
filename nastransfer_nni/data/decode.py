"""From the bytes of an image file to an RGB image of a given size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


class UnreadableImage(Exception):
    """An image file that cannot be decoded; says which."""


def decode(content: bytes) -> Image:
    """The image in RGB; 16-bit grey is scaled to 8 bits."""
    from PIL import Image

    image = Image.open(io.BytesIO(content))
    image.load()
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def fit(image: Image, side: int | None) -> Image:
    """The central square of an image, scaled to `side` pixels; the image itself where that is its size."""
    if side is None or image.size == (side, side):
        return image
    from PIL import Image as pillow
    from PIL import ImageOps

    return ImageOps.fit(image, (side, side), pillow.Resampling.BICUBIC)
