"""Small images whole in memory, as uint8."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nastransfer_nni.data.imageset import ImageSet, UnreadableImage
from nastransfer_nni.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_PIXELS = 64
_CHUNK = 512
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InMemoryImages:
    """A labelled set as two tensors.

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
            pixels: (height, width) to bring images to; by default their own, where they all agree.
            on_bad_image: `stop` at images that cannot be read, naming them, or `skip` them, likewise.

        Raises:
            UserError: unreadable images with `stop`, or images of many sizes and no `pixels`.
        """
        import torch

        size = pixels or images.pixels
        if size is None:
            raise UserError(f"{images.name} has images of many sizes: give the pixels they are brought to")
        content = torch.empty((len(images), *size, 3), dtype=torch.uint8)
        bad: list[tuple[int, str]] = []

        def chunk(start: int) -> None:
            for row in range(start, min(start + _CHUNK, len(images))):
                try:
                    content[row] = torch.from_numpy(_fitted(images, row, size))
                except UnreadableImage as error:
                    bad.append((row, str(error)))

        with ThreadPoolExecutor() as pool:
            list(pool.map(chunk, range(0, len(images), _CHUNK)))
        labels = torch.from_numpy(images.labels.copy())
        if bad:
            report_bad_images(images, [name for _, name in sorted(bad)], on_bad_image)
            good = torch.ones(len(images), dtype=torch.bool)
            good[[row for row, _ in bad]] = False
            content, labels = content[good], labels[good]
        return cls(content.permute(0, 3, 1, 2).contiguous(), labels, images.classes)

    def select(self, rows: np.ndarray | torch.Tensor) -> InMemoryImages:
        """The images of these rows, in this order."""
        import torch

        chosen = torch.as_tensor(rows)
        return InMemoryImages(self.images[chosen], self.labels[chosen], self.classes)

    @staticmethod
    def fits(images: ImageSet, pixels: tuple[int, int] | None = None) -> bool:
        """Whether a set is small enough in pixels and in all to be kept in memory."""
        import os

        size = pixels or images.pixels
        if size is None or max(size) > MAX_PIXELS:
            return False
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return len(images) * 3 * size[0] * size[1] < memory // 4


def report_bad_images(images: ImageSet, names: list[str], on_bad_image: str) -> None:
    """Name images that cannot be read: as a warning for `skip`, as the error for `stop`."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"{len(names)} of {len(images)} images of {images.name} {images.split} cannot be read: {shown}"
    if on_bad_image == "stop":
        raise UserError(f"{message}; --on-bad-image skip leaves them out")
    _log.warning("%s; left out", message)


def _fitted(images: ImageSet, row: int, size: tuple[int, int]) -> np.ndarray:
    """The image of a row as uint8 [H, W, 3] of this size."""
    from PIL import Image

    image = images.image(row)
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(image)
