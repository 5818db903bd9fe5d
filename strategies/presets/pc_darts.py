"""PC-DARTS (Xu et al., ICLR 2020): partial channels and weights of edges."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class PcDarts(DartsOptions):
    """Partial channels and edge normalization (Xu et al., ICLR 2020).

    Values: github.com/yuhuixu1993/PC-DARTS, train_search.py, lines 24 to 43 and 156; model_search.py,
    line 31.
    """

    published: ClassVar = {"partial_channels": 4, "frozen_epochs": 15, "alpha_lr": 6e-4}
    search: ClassVar = {"batch_size": 256, "lr": 0.1, "min_lr": 0.0}
