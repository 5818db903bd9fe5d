"""OLES (Jiang et al., NeurIPS 2023): operations whose training stops early."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class Oles(DartsOptions):
    """DARTS that freezes operations which overfit (Jiang et al., NeurIPS 2023).

    Values: github.com/PasaLab/oles, train_search.py, lines 25 to 50.
    """

    published: ClassVar = {"freeze_below": 0.4, "freeze_checks": 20}
