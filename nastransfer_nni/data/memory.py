"""Sets of small images, decoded and kept in memory as uint8."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import dataclass
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

MANY = 20_000
"""Number of images from which on decoding takes seconds, so that the pixels are kept."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InMemoryImages:
    """A labelled image set as two tensors.

    Attributes:
        images: uint8 [N, 3, H, W].
        labels: int64 [N].
        classes: class names, in label order.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

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
        import torch

        size = pixels or images.pixels
        if size is None:
            raise UserError(f"{images.name} has images of many sizes: choose the pixels to resize them to")
        content = np.empty((len(images), 3, *size), dtype=np.uint8)
        bad: dict[int, str] = {}
        for row in range(len(images)):  # threads would not help: tiny images spend their time under the GIL
            try:
                content[row] = _fitted(images, row, size)
            except UnreadableImage as error:
                bad[row] = str(error)
        labels = images.labels.copy()
        if bad:
            report_bad_images(images, list(bad.values()), on_bad_image)
            content, labels = np.delete(content, list(bad), axis=0), np.delete(labels, list(bad))
        return cls(torch.from_numpy(content), torch.from_numpy(labels), images.classes)

    @classmethod
    def kept(cls, images: ImageSet, pixels: tuple[int, int], on_bad_image: str) -> InMemoryImages:
        """The same as `of`, for a set that many runs evaluate on: a large one is decoded only once.

        Its pixels are kept in the cache. Arguments and errors are those of `of`.
        """
        if len(images) < MANY:
            return cls.of(images, pixels, on_bad_image)
        import PIL
        import torch

        numbers = hashlib.sha256(images.numbers.tobytes()).hexdigest()
        identity = digest([images.store.stamp, numbers, images.side, pixels, PIL.__version__], 16)
        path = cache_folder("pixels") / f"{identity}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
            content = np.load(path, allow_pickle=False)
            if content.shape == (len(images), 3, *pixels):
                return cls(torch.from_numpy(content), torch.from_numpy(images.labels.copy()), images.classes)
        found = cls.of(images, pixels, on_bad_image)
        if len(found) == len(images):
            with replacing(path) as scratch, scratch.open("wb") as file:
                np.save(file, found.images.numpy())
        return found

    def select(self, rows: npt.ArrayLike | Tensor) -> InMemoryImages:
        """The images of `rows` (int64 [n]), in this order."""
        import torch

        chosen = torch.as_tensor(rows)
        return InMemoryImages(self.images[chosen], self.labels[chosen], self.classes)

    def to(self, device: torch.device | str) -> InMemoryImages:
        """The same images on `device`, without a copy if they are there already."""
        return InMemoryImages(self.images.to(device), self.labels.to(device), self.classes)

    @staticmethod
    def fits(images: ImageSet, pixels: tuple[int, int] | None = None) -> bool:
        """Whether a set can be kept in memory: images up to 64 px that fill at most a quarter of the RAM."""
        import os

        size = pixels or images.pixels
        if size is None or max(size) > MAX_PIXELS:
            return False
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return len(images) * 3 * size[0] * size[1] < memory // 4


def report_bad_images(images: ImageSet, names: list[str], on_bad_image: str) -> None:
    """Report images that cannot be read, by name.

    Args:
        images: the set.
        names: names of those images.
        on_bad_image: `skip`: log a warning; `stop`: raise an error.

    Raises:
        UserError: `on_bad_image` is `stop`.
    """
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"{len(names)} of {len(images)} images of {images.name} {images.split} cannot be read: {shown}"
    if on_bad_image == "stop":
        raise UserError(f"{message}; --on-bad-image skip leaves them out")
    _log.warning("%s; they are skipped", message)


def _fitted(images: ImageSet, row: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The image of a row, resized to `size` (height, width), as uint8 [3, H, W]."""
    from PIL import Image

    image = images.image(row)
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)
