"""Options of cropping and augmenting photographs, separate so that recipes can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoTransform:
    """Options for images that are decoded and augmented one by one, under timm's names.

    Attributes:
        scale: smallest and largest area of a random resized crop, as fractions of the image.
        ratio: smallest and largest aspect ratio of a random resized crop, width to height.
        hflip: probability of a mirror image; None: 1/2 where the set's classes allow it, else 0.
        vflip: probability of a vertical flip.
        color_jitter: strengths of brightness, contrast, saturation and, if given, hue; empty: none.
        aa: AutoAugment, RandAugment or AugMix in timm's notation; empty: none.
        reprob: probability of random erasing.
        remode: content of an erased region: `const`, `rand` or `pixel`.
        cutout: side in pixels of the square that is cut out; 0: none.
        crop_pct: side of the central crop in evaluation, as a fraction of the resized image.
        interpolation: how images are resized in evaluation: `bicubic`, `bilinear`, ...
        train_interpolation: the same in training; `random`: bilinear or bicubic.
        no_aug: train on images as they are prepared in evaluation.
        crops_small: apply `crop_pct` also to small images that have the right size as they are.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float | None = None
    vflip: float = 0.0
    color_jitter: tuple[float, ...] = ()
    aa: str = ""
    reprob: float = 0.0
    remode: str = "pixel"
    cutout: int = 0
    crop_pct: float = 0.875
    interpolation: str = "bicubic"
    train_interpolation: str = "random"
    no_aug: bool = False
    crops_small: bool = False

    def flip_rate(self, is_mirrored: bool) -> float:
        """Probability of a mirror image, for a set whose classes allow it or not."""
        return (0.5 if is_mirrored else 0.0) if self.hflip is None else self.hflip
