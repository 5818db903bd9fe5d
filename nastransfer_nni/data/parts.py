"""Names of the parts of an image set: which names mean train, validation and test.

The words are those of `datasets`. A folder or file is a part by its exact name (`val`), or by a word in its
name that is set off by anything but letters (`val_images`, `birds-train-0000.tar`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from nastransfer_nni.data.slices import SPLITS
from search_spaces.errors import UserError

WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def named(name: str) -> str | None:
    """The part that `name` is exactly, in upper or lower case; None: it is none."""
    return next((split for split, words in WORDS.items() if name.lower() in words), None)


def in_name(name: str) -> str | None:
    """The part that a word in `name` means; None: no word does.

    Raises:
        UserError: words of several parts are in the name.
    """
    words = re.split(r"[^a-z]+", name.lower())
    found = [split for split, known in WORDS.items() if not set(known).isdisjoint(words)]
    if len(found) > 1:
        raise UserError(f"{name} could be {' or '.join(found)}: rename it so that one of these words is left")
    return found[0] if found else None


def pick(name: str, split: str, found: Iterable[str]) -> str:
    """What a set calls one of its parts.

    Args:
        name: name of the set, for messages.
        split: train, validation or test.
        found: the names of the set's parts.

    Raises:
        UserError: the set does not have the part, or has two that may be meant.
    """
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    names = list(found)
    meant = [theirs for theirs in names if named(theirs) == split]
    if len(meant) > 1:
        raise UserError(f"{name}: both {' and '.join(meant)} could be its {split} split")
    if not meant:
        raise UserError(f"{name} has no {split} split; it has {_listed(names)}")
    return meant[0]


def known(found: Iterable[str]) -> tuple[str, ...]:
    """Which of train, validation and test are among a set's own names of its parts."""
    meant = {named(theirs) for theirs in found}
    return tuple(split for split in SPLITS if split in meant)


def _listed(found: Sequence[str]) -> str:
    return ", ".join(known(found)) or f"none of {', '.join(SPLITS)}"
