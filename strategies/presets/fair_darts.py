"""FairDARTS (Chu et al., ECCV 2020): operations that do not compete."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class FairDarts(DartsOptions):
    """Sigmoids and the zero-one loss (Chu et al., ECCV 2020), with two inputs for every node.

    The authors keep, of a node's two best edges, those whose operation is above 0.85; here both are kept.
    Values: github.com/xiaomi-automl/FairDARTS, fairdarts/train_search.py, lines 23 to 47 and 97.
    """

    published: ClassVar = {
        "relaxation": "sigmoid",
        "none": False,
        "regularization": "zero-one",
        "regularization_weight": 10.0,
        "alpha_lr": 3e-3,
        "alpha_beta1": 0.9,
        "alpha_scale": 0.0,
    }
    search: ClassVar = {"batch_size": 128, "lr": 0.005}
