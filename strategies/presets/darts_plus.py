"""DARTS+ (Liang et al., 2019): an early stop."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class DartsPlus(DartsOptions):
    """DARTS that stops when the normal cell has two skips (Liang et al., arXiv 1909.06035, section 3.3)."""

    published: ClassVar = {"stop_skips": 2}
