"""Options of cropping and augmenting photographs, separate so that recipes can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoTransform:
    """Options for images that are decoded and augmented one by one, under timm's names.

    Attributes:
        scale: smallest and largest area of a random resized crop, as fractions of the image.
        ratio: smallest and largest aspect ratio of a random resized crop, width to height.
        vflip: probability of a vertical flip.
        color_jitter: strengths of brightness, contrast, saturation and, if given, hue; empty: none.
        aa: AutoAugment, RandAugment or AugMix in timm's notation; empty: none.
        reprob: probability of random erasing.
        remode: content of an erased region: `const`, `rand` or `pixel`.
        cutout: side in pixels of the square that is cut out; 0: none.
        crop_pct: side of the central crop in evaluation, as a fraction of the resized image.
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
