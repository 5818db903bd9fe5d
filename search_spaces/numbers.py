"""Numbers that computations can hold: options with others are refused before anything starts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from search_spaces.errors import UserError

MAX_INTEGER = 2**63 - 1
"""What an int64 holds."""
MAX_FLOAT = 3.4e38
"""What a float32 holds."""
MAX_SEED = 2**32 - 1
"""Largest random seed that NumPy, scikit-learn and torch all take."""


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def as_count(value: Any) -> Any:
    """The whole number that a text such as 600M stands for; other values are returned as they are."""
    found = (
        re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMG]?)", value.strip(), re.IGNORECASE)
        if isinstance(value, str)
        else None
    )
    return round(Decimal(found[1]) * _UNITS[found[2].upper()]) if found else value


def require_computable(options: Iterable[tuple[str, object]]) -> None:
    """Refuse numbers among `options`, pairs of a name and a value, that no computation can hold.

    Raises:
        UserError: names the first option that is too large, infinite or not a number.
    """
    for name, value in options:
        limit, shown = (MAX_SEED, "2^32") if re.search(r"seeds?$", name) else (MAX_INTEGER, "2^63")
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, int) and abs(number) > limit:
                raise UserError(f"{name} is too large; it must be below {shown}")
            if isinstance(number, float) and not abs(number) <= MAX_FLOAT:
                what = "not a number" if math.isnan(number) else "too large"
                raise UserError(f"{name} is {what}; it must be between -{MAX_FLOAT} and {MAX_FLOAT}")
