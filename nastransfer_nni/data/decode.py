"""Decode image files to RGB images of a given size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


class UnreadableImage(Exception):
    """An image file cannot be decoded; the message names it."""


def decode(content: bytes) -> Image:
    """Decode the bytes of an image file to RGB; 16-bit grey is scaled to 8 bits.

    Raises:
        UnreadableImage: PIL cannot decode the file.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        if image.mode.startswith("I"):
            return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what PIL raises
        raise UnreadableImage(str(error)) from error


def fit(image: Image, side: int | None) -> Image:
    """Crop an image to its central square and resize that to `side` pixels; None: leave it as it is."""
    if side is None or image.size == (side, side):
        return image
    from PIL import Image as pillow
    from PIL import ImageOps

    return ImageOps.fit(image, (side, side), pillow.Resampling.BICUBIC)
