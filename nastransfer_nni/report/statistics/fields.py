"""The fields of a results table: text that compares equal and is safe to show, numbers, and formulas."""

from __future__ import annotations

import re
import unicodedata

MISSING = frozenset(("", "nan", "none", "na", "n/a", "null", "-"))
"""What stands for a missing number or seed, in lower case."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
)
"""Characters without a width of their own, which would make two equal-looking names differ."""
FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"
"""How a field starts that a spreadsheet takes for a formula; the last four are their full-width forms."""


def clean(text: str) -> str:
    """The text in Unicode's composed form (NFC), without outer blanks and with single inner ones.

    Control characters become blanks. What neither UTF-8 nor XML can hold becomes U+FFFD, so that a name may
    be written to any file and figure.
    """
    if not (text.isascii() and text.isprintable()):
        text = writable(unicodedata.normalize("NFC", text.translate(INVISIBLE)))
    return " ".join(text.split())


def writable(text: str) -> str:
    """The text with control characters and what no file can hold replaced, as `clean` does."""
    return text if text.isascii() and text.isprintable() else "".join(map(_writable, text))


def number(text: str) -> float | None:
    """The number that the text is; NaN where it is missing, None where it is something else."""
    if text.lower() in MISSING:
        return float("nan")
    return float(text) if NUMBER.fullmatch(text) else None


def guarded(text: str) -> str:
    """The text as a CSV field that no spreadsheet takes for a formula: with an apostrophe before it."""
    is_formula = text[:1] != "" and text[0] in FORMULA_STARTS and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula or _is_guarded(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` made a field of."""
    return text[1:] if _is_guarded(text) else text


def _is_guarded(text: str) -> bool:
    return text[:1] == "'" and text[1:2] != "" and text[1] in FORMULA_STARTS + "'"


def _writable(character: str) -> str:
    if unicodedata.category(character) == "Cc":
        return " "
    is_impossible = unicodedata.category(character) == "Cs" or character in "\ufffe\uffff"
    return "\ufffd" if is_impossible else character
