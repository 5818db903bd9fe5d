"""Decode image files to RGB images of a given size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_SIXTEEN_BITS = range(1 << 12, 1 << 16)
"""Brightest values of images that are taken to have 16 bits. One with 12 bits or fewer would become black."""


class UnreadableImage(Exception):
    """An image file cannot be decoded; the message names it."""


def decode(content: bytes) -> Image:
    """Decode the bytes of an image file to RGB.

    As in timm, the first picture of an animation or a file of several pages counts, transparency is dropped,
    and the orientation in EXIF data is ignored. 16-bit grey is scaled to 8 bits.

    Raises:
        UnreadableImage: PIL cannot decode the file, or its pixels have a range that cannot be known:
            floating-point numbers, or integers that fill neither 8 nor 16 bits.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        if image.mode == "F" or image.mode.startswith("I"):
            return _from_wide_grey(image)
        is_done = image.format == "JPEG" and image.mode == "RGB"  # to convert it would copy it
        return image if is_done else image.convert("RGB")
    except UnreadableImage:
        raise
    except Exception as error:  # for damaged files, PIL's readers raise nearly everything
        raise UnreadableImage(str(error) or type(error).__name__) from error


def _from_wide_grey(image: Image) -> Image:
    """A grey image of more than 8 bits as RGB."""
    from PIL import Image as pillow

    if image.mode == "F":
        raise UnreadableImage("its pixels are floating-point numbers; convert them to 8 bits")
    grey = np.asarray(image)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or (high not in _SIXTEEN_BITS and high > 0):
        raise UnreadableImage(
            f"its pixels are integers of {8 * grey.dtype.itemsize} bits from {low} to {high}, whose range "
            "cannot be known; convert them to 8 bits"
        )
    return pillow.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")


def fit(image: Image, side: int | None) -> Image:
    """Crop an image to its central square and resize that to `side` pixels; None: leave it as it is."""
    if side is None or image.size == (side, side):
        return image
    from PIL import Image as pillow
    from PIL import ImageOps

    return ImageOps.fit(image, (side, side), pillow.Resampling.BICUBIC)
