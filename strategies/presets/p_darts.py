"""P-DARTS (Chen et al., ICCV 2019): deeper supernets with fewer candidates."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class PDarts(DartsOptions):
    """Three stages of 5, 11 and 17 cells and 8, 5 and 3 candidates (Chen et al., ICCV 2019).

    Values: the paper's for CIFAR-10, section 4.2.1, in which the dropout of skips starts at 0, 0.4 and 0.7;
    github.com/chenxin061/pdarts, train_search.py, lines 22 to 42, 110 to 127 and 152 to 157.
    """

    published: ClassVar = {
        "operations": (8, 5, 3),
        "add_layers": (0, 6, 12),
        "restart": True,
        "skip_dropout": (0.0, 0.4, 0.7),
        "frozen_epochs": 10,
        "alpha_lr": 6e-4,
        "alpha_clip_grad": 5.0,
        "max_skips": 2,
    }
    search: ClassVar = {"epochs": 75, "batch_size": 96, "layers": 5, "min_lr": 0.0}
