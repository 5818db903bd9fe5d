"""Beta-DARTS (Ye et al., CVPR 2022): a penalty on large alphas."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class BetaDarts(DartsOptions):
    """DARTS with beta-decay, whose weight grows by 0.5 an epoch (Ye et al., CVPR 2022).

    Values: github.com/Sunshine-Ye/Beta-DARTS, optimizers/darts/architect.py, lines 55 to 59 and 80 to 82.
    """

    published: ClassVar = {"regularization": "beta", "regularization_weight": 0.5}
