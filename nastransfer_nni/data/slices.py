"""Names of a part of an image set: a split, a slice of one, or several joined by `+`.

`train[:10000]`, `train[10000:17500]` and `train[17500:]+test` are three parts of CIFAR-10 that share no
image. The notation is that of `datasets` and TensorFlow Datasets. Unlike there, a slice counts images in an
order that follows from their content, in which every class is spread evenly (`splits.in_proportion`): it has
all classes in proportion, and is the same in every storage form.

This module imports nothing heavy, so that a command can check a name before it loads anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces.errors import UserError, unknown

SPLITS = ("train", "validation", "test")

_SLICE = re.compile(r"(\w+)(?:\[(\d*):(\d*)\])?")


@dataclass(frozen=True)
class Slice:
    """A whole split, or a range of its images.

    Attributes:
        split: train, validation or test.
        start: first image of the range.
        stop: end of the range; None: the end of the split.
    """

    split: str
    start: int = 0
    stop: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole split."""
        return self.start == 0 and self.stop is None

    def count(self, images: int) -> int:
        """Number of images of a split with `images` of them."""
        return max(0, min(images, images if self.stop is None else self.stop) - self.start)


def parse(text: str) -> tuple[Slice, ...]:
    """The slices that `text` names.

    Raises:
        UserError: the text has another form, names an unknown split, or a range is empty.
    """
    found = []
    for word in text.split("+"):
        match = _SLICE.fullmatch(word.strip())
        if match is None:
            raise UserError(f"{text!r} is no part of a set, such as train, train[:10000] or train[100:]+test")
        split, start, stop = match.groups()
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        found.append(Slice(split, int(start or 0), int(stop) if stop else None))
        if found[-1].stop is not None and found[-1].stop <= found[-1].start:
            raise UserError(f"{text!r}: {word.strip()} has no images")
    return tuple(found)


def check(text: str) -> str:
    """`text`, if it names a part of a set.

    Raises:
        UserError: it does not.
    """
    parse(text)
    return text


def size(text: str, splits: Mapping[str, int]) -> int | None:
    """Number of images of a part, from the sizes of the splits; None where one of them is not known."""
    pieces = parse(text)
    if any(piece.split not in splits for piece in pieces):
        return None
    return sum(piece.count(splits[piece.split]) for piece in pieces)
