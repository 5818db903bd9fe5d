"""One split of an image set: encoded images, labels and class names, in any storage form."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.data.class_names import natural
from nastransfer_nni.data.decode import UnreadableImage, decode, fit
from nastransfer_nni.data.keys import store_keys
from nastransfer_nni.data.sources import Source
from nastransfer_nni.data.splits import split
from nastransfer_nni.data.stores.base import Store
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one split.

    `images[row]` is `(PIL image in RGB, label)`, as the loaders of torch and timm expect.

    Attributes:
        source: description of the set.
        split: train, validation or test.
        classes: class names, in label order.
        labels: class of each row, int64 [N], in 0 .. len(classes) - 1.
        store: encoded images.
        numbers: number of each row's image in the store, int64 [N].
        side: height and width in pixels that images are resized to; None: their own size.
        left_out: what was found beside these images and is not among them, in words.
    """

    source: Source
    split: str
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    store: Store = field(repr=False)
    numbers: npt.NDArray[np.int64] = field(repr=False)
    side: int | None = None
    left_out: str = ""

    def __post_init__(self) -> None:
        assert len(self.labels) == len(self.numbers), "every image needs a label"
        self.labels.setflags(write=False)
        self.numbers.setflags(write=False)

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Image, int]:
        return self.image(row), int(self.labels[row])

    def image(self, row: int) -> Image:
        """Decode the image of `row` to RGB; transparency is dropped.

        Raises:
            UnreadableImage: the image cannot be decoded; the message names it.
            UserError: the set is streamed and its images have not been fetched.
        """
        try:
            return fit(decode(self.store.encoded(int(self.numbers[row]))), self.side)
        except (OSError, UnreadableImage) as error:
            raise UnreadableImage(f"{self.describe(row)} ({error})") from error

    def describe(self, row: int) -> str:
        """A name by which a user can find the image of `row`."""
        number = int(self.numbers[row])
        return self.store.file_name(number) or f"image {number} of {self.name} {self.split}"

    def select(self, rows: npt.ArrayLike) -> ImageSet:
        """The set of `rows` (int64 [n]), in this order, with the same classes."""
        chosen = np.asarray(rows)
        return replace(self, labels=self.labels[chosen], numbers=self.numbers[chosen])

    def fetched(self) -> ImageSet:
        """The set with its images on this machine: itself, unless its source is streamed.

        Raises:
            OSError: the images cannot be downloaded or written to the disk.
        """
        store, numbers = self.store.fetch(self.numbers)
        return self if store is self.store else replace(self, store=store, numbers=numbers)

    def relabel(self, classes: Sequence[str]) -> ImageSet:
        """The images of `classes`, with labels in the order of `classes`.

        Raises:
            KeyError: the set does not have one of the classes.
        """
        number = {name: label for label, name in enumerate(self.classes)}
        new = np.full(len(self.classes), -1, dtype=np.int64)
        new[[number[name] for name in classes]] = np.arange(len(classes))
        labels = new[self.labels]
        kept = labels >= 0
        return replace(self.select(kept), classes=tuple(classes), labels=labels[kept])

    def parts(self, shares: Sequence[float], seed: int) -> list[ImageSet]:
        """Disjoint parts with these shares of every class, see `splits.split`."""
        drawn, key = self._drawn, (tuple(shares), seed)
        if key not in drawn:
            drawn[key] = tuple(self.select(rows) for rows in split(self.labels, shares, seed))
        return list(drawn[key])

    @cached_property
    def _drawn(self) -> dict[tuple[tuple[float, ...], int], tuple[ImageSet, ...]]:
        """The parts that were asked for: a search asks three times for the same ones."""
        return {}

    def resized(self, side: int) -> ImageSet:
        """The same images cropped to their central square and resized to `side` x `side` pixels."""
        return replace(self, side=side)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Number of images of each class, in label order."""
        counted = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counted.tolist(), strict=True))

    @cached_property
    def pixels(self) -> tuple[int, int] | None:
        """(height, width) of all images, or None if they differ, judged by up to 256 images."""
        if self.side is not None:
            return (self.side, self.side)
        if self.source.pixels is not None:
            return self.source.pixels
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None

    @cached_property
    def largest_pixels(self) -> tuple[int, int] | None:
        """(height, width) of the largest image, judged by up to 256 of them; None if none can be read."""
        return self.pixels or max(self._sizes, key=max, default=None)

    @cached_property
    def _sizes(self) -> set[tuple[int, int]]:
        """(height, width) of up to 256 images, of those that can be read."""
        from PIL import Image as PillowImage

        sizes = set()
        for number in self.numbers[np.linspace(0, len(self) - 1, min(len(self), 256)).astype(int)]:
            try:
                content = self.store.encoded(int(number))
            except OSError:
                continue
            try:
                with PillowImage.open(io.BytesIO(content)) as image:
                    sizes.add((image.height, image.width))
            except Exception:  # for damaged files, Pillow's readers raise nearly everything
                continue
        return sizes

    @cached_property
    def keys(self) -> hashing.Keys:
        """A key per image that does not depend on how the set is stored, uint64 [N]."""
        return store_keys(self.store, self.source.identifier)[self.numbers]

    def key(self, row: int) -> str:
        """The key of `row` in the notation of manifests: 16 hexadecimal digits."""
        return f"{int(self.keys[row]):016x}"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images and class names, 16 hexadecimal digits; independent of storage form and order."""
        names = hashing.keys_of(self.classes)[self.labels]
        content = np.stack([names, self.keys], axis=1)
        content = content[np.lexsort((content[:, 1], content[:, 0]))]
        return hashlib.sha256(content.astype(">u8").tobytes()).hexdigest()[:16]

    def canonical(self) -> ImageSet:
        """The set in an order of classes and images that does not depend on how it is stored."""
        classes = sorted(self.classes, key=natural)
        relabelled = self.relabel(classes)
        return relabelled.select(np.lexsort((relabelled.keys, relabelled.labels)))


def summary(*parts: ImageSet) -> str:
    """One line about the parts of a set: images, classes, sizes and what was left out.

    Args:
        parts: image sets of one source; the classes are those of the first.
    """
    first = parts[0]
    counts = " and ".join(f"{part.split} {len(part):,}" for part in parts)
    try:
        sizes = {part.pixels for part in parts}
        size = "many sizes" if None in sizes or len(sizes) > 1 else "{1}x{0} px".format(*sizes.pop() or ())
    except UserError:  # streamed: no image is on this machine
        size = "streamed"
    left_out = "".join(f"; left out of {part.split}: {part.left_out}" for part in parts if part.left_out)
    classes = f"{len(first.classes):,} classes"
    return f"{first.source.text or first.name}: {counts} images of {classes}, {size}{left_out}"
