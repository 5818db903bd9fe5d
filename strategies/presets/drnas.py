"""DrNAS (Chen et al., ICLR 2021): Dirichlet-distributed mixtures, in two stages."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class DrNas(DartsOptions):
    """Mixtures from Dirichlet distributions, wider and with fewer candidates in the second stage.

    The distance of the concentrations elu(alpha) + 1 from 1 is penalized as the authors do: by the weight
    decay of the alphas. Values: github.com/xiangning-chen/DrNAS, DARTS-space/train_search.py, lines 23 to 46,
    120 to 122 and 182; architect.py, lines 15 to 20.
    """

    published: ClassVar = {
        "relaxation": "dirichlet",
        "none": False,
        "operations": (7, 4),
        "partial_channels": (6, 4),
        "edge_weights": False,
        "frozen_epochs": 10,
        "alpha_lr": 6e-4,
    }
    search: ClassVar = {"width": 36, "layers": 20, "lr": 0.1, "min_lr": 0.0}
