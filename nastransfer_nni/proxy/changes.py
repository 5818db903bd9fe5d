"""Changes of what a proxy set's images show or are labelled with: null proxies and self-supervised tasks.

A changed set knows the images that were selected, so that a manifest lists those, and decodes an image before
it changes it. Its fingerprint differs from that of the selected images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.data.decode import fit
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.splits import split

if TYPE_CHECKING:
    from PIL.Image import Image

ANGLES = ("0", "90", "180", "270")
"""Classes of the rotation task: counterclockwise angles in degrees."""
_LEVELS = 1 << 16
"""Entries of the table from which noise is drawn."""


@dataclass(frozen=True, eq=False)
class ChangedImages(ImageSet):
    """Images with other labels or pixels than those that were selected.

    Attributes:
        selected: the images that were selected, unchanged.
        rows: row in `selected` of every image, int64 [N].
        turns: counterclockwise quarter turns of every image, int64 [N].
        noise_seed: seed of the noise that replaces the pixels; None: they stay.
        marks: the changes, in words that enter the fingerprint.
    """

    selected: ImageSet = field(kw_only=True, repr=False)
    rows: hashing.Rows = field(kw_only=True, repr=False)
    turns: npt.NDArray[np.int64] = field(kw_only=True, repr=False)
    noise_seed: int | None = field(default=None, kw_only=True)
    marks: tuple[str, ...] = field(default=(), kw_only=True)

    def image(self, row: int) -> Image:
        """Decode the image of `row` to RGB and change it.

        Raises:
            UnreadableImage: the image cannot be decoded; the message names it.
        """
        image = self.selected.image(int(self.rows[row]))
        if self.noise_seed is not None:
            image = noise(
                image.size,
                key=int(self.keys[row]),
                seed=self.noise_seed,
                moments=(self.source.mean, self.source.std),
            )
        return self._turned(image, int(self.turns[row]))

    def _turned(self, image: Image, turns: int) -> Image:
        if not self._is_turned:
            return image
        from PIL import Image as pillow

        square = fit(image, min(image.size))  # else the shape would tell the angle
        return pillow.fromarray(np.rot90(np.asarray(square), turns)) if turns else square

    @cached_property
    def pixels(self) -> tuple[int, int] | None:
        """(height, width) of all images, or None if they differ."""
        size = self.selected.pixels
        return (min(size), min(size)) if size and self._is_turned else size

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images, labels and changes, 16 hexadecimal digits."""
        content = ":".join((super().fingerprint, *self.marks))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def select(self, rows: npt.ArrayLike) -> ChangedImages:
        """The set of `rows` (int64 [n]), in this order, with the same classes."""
        chosen = np.asarray(rows)
        return replace(
            self,
            labels=self.labels[chosen],
            numbers=self.numbers[chosen],
            rows=self.rows[chosen],
            turns=self.turns[chosen],
        )

    def resized(self, side: int) -> ChangedImages:
        """The same set, resized to `side` x `side` pixels before the change."""
        return replace(self, side=side, selected=self.selected.resized(side))

    def fetched(self) -> ChangedImages:
        """The set with its images on this machine."""
        selected = self.selected.fetched()
        return replace(self, selected=selected, store=selected.store, numbers=selected.numbers[self.rows])

    def parts(self, shares: Sequence[float], seed: int) -> list[ImageSet]:
        """Disjoint parts; the turned copies of an image are in the same part."""
        if not self._is_turned:
            return super().parts(shares, seed)
        present, image = np.unique(self.rows, return_inverse=True)
        drawn = split(np.zeros(len(present), dtype=np.int64), shares, seed)
        return [self.select(np.flatnonzero(np.isin(image, rows))) for rows in drawn]

    @property
    def _is_turned(self) -> bool:
        return "task:rotation" in self.marks


@dataclass(frozen=True)
class Change:
    """A kind of change.

    Attributes:
        apply: changes a set, with a seed.
        sets_labels: whether the labels are replaced.
        classes: number of classes of the changed set; None: that of the selected images.
        copies: number of images for each one that was selected.
    """

    apply: Callable[[ChangedImages, int], ChangedImages]
    sets_labels: bool = False
    classes: int | None = None
    copies: int = 1


def changed(images: ImageSet, names: Sequence[str], seed: int) -> ImageSet:
    """Change the images that a proxy selected.

    Args:
        images: the selected images, in canonical order.
        names: names of the changes, in order; without any, the images are returned as they are.
        seed: random seed of labels and noise.
    """
    if not names:
        return images
    everything = {entry: getattr(images, entry) for entry in ImageSet.__dataclass_fields__}
    rows = np.arange(len(images))
    result = ChangedImages(**everything, selected=images, rows=rows, turns=np.zeros_like(rows))
    for name in names:
        result = CHANGES[name].apply(result, seed)
    return result


def selected_of(images: ImageSet) -> ImageSet:
    """The images that were selected, before any change."""
    return images.selected if isinstance(images, ChangedImages) else images


def copies_of(names: Sequence[str]) -> int:
    """Number of images that these changes make of each one."""
    return int(np.prod([CHANGES[name].copies for name in names], dtype=np.int64))


def _random_labels(images: ChangedImages, seed: int) -> ChangedImages:
    """Labels drawn uniformly from the classes, by key and seed.

    Zhang, Hou, Zhang, Sun, "Neural architecture search with random labels", CVPR 2021, section 3.1.
    """
    drawn = np.floor(hashing.uniform(images.keys, seed, "labels") * len(images.classes)).astype(np.int64)
    return replace(images, labels=drawn, marks=(*images.marks, f"labels:random,{seed}"))


def _noise(images: ChangedImages, seed: int) -> ChangedImages:
    """Noise in place of the pixels, by key and seed."""
    mark = f"pixels:noise,{seed},{images.source.mean},{images.source.std}"
    return replace(images, noise_seed=seed, marks=(*images.marks, mark))


def _rotations(images: ChangedImages, seed: int) -> ChangedImages:
    """Every image at each of four angles, which are the classes.

    Liu et al., "Are labels necessary for neural architecture search?" (UnNAS), ECCV 2020. Their code mirrors
    an image before it turns it. A mirror image of a turned one would have another angle, so that mirroring,
    which comes last here, is off.
    """
    turned = images.select(np.repeat(np.arange(len(images)), len(ANGLES)))
    turns = np.tile(np.arange(len(ANGLES)), len(images))
    return replace(
        turned,
        source=replace(images.source, mirrored=False),
        classes=ANGLES,
        labels=turns.copy(),
        turns=turns,
        marks=(*images.marks, "task:rotation"),
    )


CHANGES: Mapping[str, Change] = {
    "labels:random": Change(_random_labels, sets_labels=True),
    "pixels:noise": Change(_noise),
    "task:rotation": Change(_rotations, sets_labels=True, classes=len(ANGLES), copies=len(ANGLES)),
}
"""The changes by name, as manifests list them."""


def noise(
    size: tuple[int, int],
    *,
    key: int,
    seed: int,
    moments: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> Image:
    """An image of independent noise, the same for the same key and seed.

    The numbers are SplitMix64's stream, so that no release of a library changes them.

    Args:
        size: width and height in pixels.
        key: key of the image that the noise replaces.
        seed: random seed.
        moments: mean and standard deviation of each RGB channel, for pixels scaled to 0..1.
    """
    from PIL import Image as pillow

    width, height = size
    count = 3 * width * height
    state = hashing.seeded(np.array([key], dtype=np.uint64), seed, "noise")
    steps = np.arange(-(-count // 4), dtype=np.uint64) * hashing.GOLDEN
    draws = hashing.mix(state + steps).astype("<u8").view("<u2")[:count].reshape(3, height, width)
    channels = [_beta_levels(mean, std)[drawn] for mean, std, drawn in zip(*moments, draws, strict=True)]
    return pillow.fromarray(np.stack(channels, axis=-1))


@lru_cache(maxsize=16)
def _beta_levels(mean: float, std: float) -> npt.NDArray[np.uint8]:
    """Quantiles of the Beta distribution with this mean and deviation, as levels, uint8 [65536].

    Unlike a clipped normal distribution, it can have the mean and deviation of any pixels in 0..1.
    """
    from scipy.special import betaincinv  # slow to import

    mean = min(max(mean, 1e-3), 1 - 1e-3)
    total = max(mean * (1 - mean) / max(std, 1e-3) ** 2 - 1, 1e-3)  # the sum of the two parameters
    chances = (np.arange(_LEVELS) + 0.5) / _LEVELS
    return np.rint(255 * betaincinv(mean * total, (1 - mean) * total, chances)).astype(np.uint8)
