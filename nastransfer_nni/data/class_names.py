"""Orders of class names, and names that nobody could tell from each other."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence

from search_spaces.errors import UserError


def natural(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key that puts class "10" after class "9", words after numbers, and "01" before "1"."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts], name


def timm_order(classes: Iterable[str]) -> tuple[str, ...]:
    """Names of class folders in the order in which timm numbers them: natural, without regard to case.

    Raises:
        UserError: timm's order leaves two of the names in any order, such as "a" and "A" or "1" and "01".
    """
    from timm.utils.misc import natural_key  # imports torch

    ordered = sorted(classes, key=natural_key)
    for first, second in itertools.pairwise(ordered):
        if natural_key(first) == natural_key(second):
            raise UserError(f"timm does not number the classes {first!r} and {second!r} in a fixed order")
    return tuple(ordered)


def refuse_lookalikes(name: str, classes: Sequence[str]) -> None:
    """Refuse class names that are empty or look like another one.

    Args:
        name: name of the image set, for messages.
        classes: the names.

    Raises:
        UserError: a name is empty, is not UTF-8 or has control characters, or two names differ only in
            blanks around them or in the Unicode form of a letter.
    """
    seen: dict[str, str] = {}
    for text in classes:
        look = unicodedata.normalize("NFC", text).strip()
        if not look:
            raise UserError(f"{name} has a class without a name")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
            raise UserError(f"{name}: the name of the class {text!a} is not UTF-8 or has control characters")
        if other := seen.get(look):
            raise UserError(
                f"{name}: the classes {other!a} and {text!a} look alike; merge them, or rename one"
            )
        seen[look] = text
