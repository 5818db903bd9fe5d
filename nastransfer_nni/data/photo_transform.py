"""How photographs are cropped and augmented; options only, so that recipes can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoTransform:
    """How images that are decoded one by one are cropped and augmented, by the names of timm's options.

    Attributes:
        scale: area of a random resized crop, as fractions of the image.
        ratio: aspect ratio of a random resized crop.
        vflip: probability of a vertical flip.
        color_jitter: strength of brightness, contrast, saturation and, if given, hue; empty for none.
        aa: timm's AutoAugment or RandAugment string; empty for none.
        reprob: probability of random erasing.
        remode: what fills an erased region.
        cutout: side of the square that is cut out, in pixels; 0 for none.
        crop_pct: part of the image that evaluation crops.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    vflip: float = 0.0
    color_jitter: tuple[float, ...] = ()
    aa: str = ""
    reprob: float = 0.0
    remode: str = "pixel"
    cutout: int = 0
    crop_pct: float = 0.875
