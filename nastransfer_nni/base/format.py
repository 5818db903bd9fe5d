"""Numbers as text for readers."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """`seconds` in the largest unit that fits: `45 s`, `1.5 min`, `3.2 h` or, from two days on, `2.5 days`.

    An unknown duration (NaN) is the empty text.
    """
    if math.isnan(seconds):
        return ""
    for size, unit, smallest in ((86_400, "days", 2 * 86_400), (3600, "h", 3600), (60, "min", 60)):
        if seconds >= smallest:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
