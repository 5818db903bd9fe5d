"""One split of an image set: encoded images, labels and class names, whatever form they are stored in."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.data.decode import UnreadableImage, decode, fit
from nastransfer_nni.data.keys import store_keys
from nastransfer_nni.data.sources import Source
from nastransfer_nni.data.stores.base import Store
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split.

    `images[row]` is `(PIL image in RGB, label)`, as torch's and timm's loaders expect.

    Attributes:
        source: what is known of the set.
        split: train, validation or test.
        classes: class names, in label order.
        labels: int64 [N], in 0 .. len(classes) - 1.
        store: where the image bytes come from.
        numbers: the number in the store of every row, int64 [N].
        side: images are brought to this height and width; None: as they are.
    """

    source: Source
    split: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    store: Store = field(repr=False)
    numbers: npt.NDArray[np.int64] = field(repr=False)
    side: int | None = None

    def __post_init__(self) -> None:
        assert len(self.labels) == len(self.numbers), "a label for every image"
        self.labels.setflags(write=False)
        self.numbers.setflags(write=False)

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Image, int]:
        return self.image(row), int(self.labels[row])

    def image(self, row: int) -> Image:
        """Decode the image of `row` to RGB; grey becomes RGB, transparency is dropped.

        Raises:
            UnreadableImage: names the image.
        """
        try:
            return fit(decode(self.store.encoded(int(self.numbers[row]))), self.side)
        except UserError:
            raise
        except (OSError, ValueError, SyntaxError) as error:  # what PIL raises for broken files
            raise UnreadableImage(f"{self.describe(row)} ({error})") from error

    def describe(self, row: int) -> str:
        """A name for the image of `row` that a user can find it by."""
        number = int(self.numbers[row])
        return self.store.file_name(number) or f"image {number} of {self.name} {self.split}"

    def select(self, rows: npt.ArrayLike) -> ImageSet:
        """The set of these rows, in this order; classes stay."""
        chosen = np.asarray(rows)
        return replace(self, labels=self.labels[chosen], numbers=self.numbers[chosen])

    def fetched(self) -> ImageSet:
        """The set with its images on this machine: itself, unless its source is streamed."""
        store, numbers = self.store.fetch(self.numbers)
        return self if store is self.store else replace(self, store=store, numbers=numbers)

    def relabel(self, classes: Sequence[str]) -> ImageSet:
        """Keep the images of `classes` only, numbered in the order given.

        Raises:
            KeyError: a class that the set does not have.
        """
        number = {name: label for label, name in enumerate(self.classes)}
        new = np.full(len(self.classes), -1, dtype=np.int64)
        new[[number[name] for name in classes]] = np.arange(len(classes))
        labels = new[self.labels]
        kept = labels >= 0
        return replace(self, classes=tuple(classes), labels=labels[kept], numbers=self.numbers[kept])

    def resized(self, side: int) -> ImageSet:
        """The same images brought to `side` x `side` pixels: the central square, scaled."""
        return replace(self, side=side)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Images of each class, in label order."""
        counted = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counted.tolist(), strict=True))

    @cached_property
    def pixels(self) -> tuple[int, int] | None:
        """(height, width) of every image, or None where they differ, judged by up to 256 images."""
        if self.side is not None:
            return (self.side, self.side)
        if self.source.pixels is not None:
            return self.source.pixels
        from PIL import Image

        sizes = set()
        for number in self.numbers[np.linspace(0, len(self) - 1, min(len(self), 256)).astype(int)]:
            try:
                with Image.open(io.BytesIO(self.store.encoded(int(number)))) as image:
                    sizes.add((image.height, image.width))
            except OSError:
                continue
            if len(sizes) > 1:
                return None
        return sizes.pop() if sizes else None

    @cached_property
    def keys(self) -> hashing.Keys:
        """A 64-bit key per image that does not depend on the form of the set, uint64 [N]."""
        return store_keys(self.store, self.source.identifier)[self.numbers]

    def key(self, row: int) -> str:
        """The key of `row`, as manifests write it: 16 hexadecimal digits."""
        return f"{int(self.keys[row]):016x}"

    @cached_property
    def fingerprint(self) -> str:
        """The same for every form of the same images with the same class names."""
        names = hashing.keys_of(self.classes)[self.labels]
        content = np.stack([names, self.keys], axis=1)
        content = content[np.lexsort((content[:, 1], content[:, 0]))]
        return hashlib.sha256(content.astype(">u8").tobytes()).hexdigest()[:16]

    def canonical(self) -> ImageSet:
        """The set in an order of classes and images that does not depend on the form of the set."""
        classes = sorted(self.classes, key=natural)
        relabelled = self.relabel(classes)
        return relabelled.select(np.lexsort((relabelled.keys, relabelled.labels)))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts class "10" behind class "9", and words behind numbers."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts]
