"""Images of any size, decoded in loader workers: the data set that `timm.data.create_loader` takes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from nastransfer_nni.data.imageset import ImageSet, UnreadableImage
from nastransfer_nni.data.memory import report_bad_images
from nastransfer_nni.errors import UserError

_TRIES = 100


class LargeImages:
    """A map-style data set of (transformed image, label).

    timm sets `transform` itself. An image that cannot be read stops the run (`stop`), or the next one that
    can be takes its place (`skip`), so that an epoch keeps its length on every rank.

    Args:
        images: the set.
        transform: applied to the PIL image.
        on_bad_image: stop or skip.
    """

    def __init__(
        self, images: ImageSet, transform: Callable[[Any], Any] | None = None, on_bad_image: str = "stop"
    ) -> None:
        self.images = images
        self.transform = transform
        self._on_bad_image = on_bad_image
        self._bad = multiprocessing.get_context("spawn").Array("b", len(images))  # shared with the workers

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        for step in range(_TRIES):
            candidate = (row + step) % len(self)
            try:
                image, label = self.images[candidate]
            except UnreadableImage as error:
                if self._on_bad_image == "stop":
                    raise UserError(f"cannot read {error}; --on-bad-image skip leaves it out") from None
                self._bad[candidate] = 1
                continue
            return (self.transform(image) if self.transform else image), label
        raise UserError(f"{_TRIES} images in a row cannot be read, the first is {self.images.describe(row)}")

    def report(self) -> int:
        """Warn of the images that were left out so far, by number and name; returns how many."""
        rows = [row for row, bad in enumerate(self._bad.get_obj()) if bad]
        if rows:
            report_bad_images(self.images, [self.images.describe(row) for row in rows], "skip")
        return len(rows)
