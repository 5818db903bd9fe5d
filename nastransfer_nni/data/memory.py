"""Sets of small images, decoded and kept in memory as uint8."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import digest, replacing
from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.image_set import ImageSet
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError
from search_spaces.geometry import SMALL_PIXELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_PIXELS = SMALL_PIXELS
"""Largest height and width, in pixels, of images that are kept in memory."""

MANY = 5_000
"""Number of images from which on decoding takes the better part of a second, so that the pixels are kept."""

LEAST_SHARE = 0.25
"""Fraction of a set from which on all of it is decoded, for the runs that see other parts of it."""

_log = logging.getLogger(__name__)


class UnreadableImages(UserError):
    """Some images of a set cannot be decoded, and are not to be left out."""


@dataclass(frozen=True)
class InMemoryImages:
    """A labelled image set as two tensors.

    Attributes:
        images: uint8 [N, 3, H, W].
        labels: int64 [N].
        classes: class names, in label order.
        unreadable: names of images that were left out, since they cannot be decoded.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(
        cls, images: ImageSet, pixels: tuple[int, int] | None = None, on_bad_image: str = "stop"
    ) -> InMemoryImages:
        """Decode every image of a set.

        Args:
            images: the set.
            pixels: (height, width) that images are resized to; None: their own size, if all have the same.
            on_bad_image: `stop` (raise an error) or `skip` (log a warning) if images cannot be read; either
                way they are named.

        Raises:
            UserError: images cannot be read and `on_bad_image` is `stop`, or images have many sizes and
                `pixels` is None.
        """
        size = pixels or images.pixels
        if size is None:
            raise UserError(f"{images.name} has images of many sizes: choose the pixels to resize them to")
        content, unreadable = _decode(images, size)
        return cls._without(unreadable, images, content, on_bad_image)

    @classmethod
    def kept(cls, images: ImageSet, pixels: tuple[int, int], on_bad_image: str = "stop") -> InMemoryImages:
        """The same as `of`, but decoded only once for all runs that see parts of the same large set.

        The pixels of the whole set are kept in the cache. Arguments and errors are those of `of`.
        """
        count = len(images.store)
        if count < MANY or type(images) is not ImageSet:  # those of a changed set are not the store's
            return cls.of(images, pixels, on_bad_image)
        numbers = np.arange(count)
        whole = replace(images, numbers=numbers, labels=np.zeros_like(numbers))
        path, unreadable = _pixels_file(whole, pixels), dict[int, str]()
        content = _read_pixels(path, (count, 3, *pixels))
        if content is None:
            if len(images) < max(MANY, LEAST_SHARE * count) or not cls.fits(whole, pixels):
                return cls.of(images, pixels, on_bad_image)
            content, unreadable = _decode(whole, pixels)
            if not unreadable:
                _write_pixels(path, content)
        bad = {row: unreadable[number] for row, number in enumerate(images.numbers) if number in unreadable}
        return cls._without(bad, images, content[images.numbers], on_bad_image)

    @classmethod
    def _without(
        cls,
        unreadable: Mapping[int, str],
        images: ImageSet,
        content: npt.NDArray[np.uint8],
        on_bad_image: str,
    ) -> InMemoryImages:
        """The images but for those of `unreadable` rows, which are reported."""
        import torch

        labels = images.labels.copy()
        if unreadable:
            report_bad_images(images, list(unreadable.values()), on_bad_image)
            rows = list(unreadable)
            content, labels = np.delete(content, rows, axis=0), np.delete(labels, rows)
        names = tuple(unreadable.values())
        return cls(torch.from_numpy(content), torch.from_numpy(labels), images.classes, names)

    def select(self, rows: npt.ArrayLike | Tensor) -> InMemoryImages:
        """The images of `rows` (int64 [n]), in this order."""
        import torch

        chosen = torch.as_tensor(rows)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def to(self, device: torch.device | str) -> InMemoryImages:
        """The same images on `device`, without a copy if they are there already."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    @staticmethod
    def fits(images: ImageSet, pixels: tuple[int, int] | None = None) -> bool:
        """Whether a set can be kept in memory: images up to 64 px that fill at most a quarter of the RAM."""
        size = pixels or images.pixels
        return size is not None and max(size) <= MAX_PIXELS and takes_little_memory(len(images), size)


def takes_little_memory(count: int, size: tuple[int, int]) -> bool:
    """Whether `count` images of `size` (height, width), as uint8, fill at most a quarter of the RAM."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return count * 3 * size[0] * size[1] < memory // 4


def report_bad_images(images: ImageSet, names: list[str], on_bad_image: str) -> None:
    """Report images that cannot be read, by name.

    Args:
        images: the set.
        names: names of those images.
        on_bad_image: `skip`: log a warning; `stop`: raise an error.

    Raises:
        UnreadableImages: `on_bad_image` is `stop`.
    """
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"{len(names)} of {len(images)} images of {images.name} {images.split} cannot be read: {shown}"
    if on_bad_image == "stop":
        raise UnreadableImages(f"{message}; --on-bad-image skip leaves them out")
    _log.warning("%s; they are skipped", message)


def _decode(images: ImageSet, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], dict[int, str]]:
    """The pixels of all images, uint8 [N, 3, H, W], and what is wrong with those that cannot be read."""
    content = np.empty((len(images), 3, *size), dtype=np.uint8)
    unreadable = {}
    for row in range(len(images)):  # threads would not help: tiny images spend their time under the GIL
        try:
            content[row] = _fitted(images, row, size)
        except UnreadableImage as error:
            unreadable[row] = str(error)
    return content, unreadable


def _pixels_file(images: ImageSet, size: tuple[int, int]) -> Path:
    """The file in the cache for the pixels of a whole set."""
    import PIL

    identity = digest([images.store.stamp, "whole 2", images.side, size, PIL.__version__], 16)
    return cache_folder("pixels") / f"{identity}.npy"


def _read_pixels(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8] | None:
    with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
        content: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        if content.shape == shape:
            return content
    return None


def _write_pixels(path: Path, content: npt.NDArray[np.uint8]) -> None:
    with contextlib.suppress(OSError), replacing(path) as scratch, scratch.open("wb") as file:
        np.save(file, content)


def _fitted(images: ImageSet, row: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The image of a row, resized to `size` (height, width), as uint8 [3, H, W]."""
    from PIL import Image

    image = images.image(row)
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)
