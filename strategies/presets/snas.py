"""SNAS (Xie et al., ICLR 2019): sampled mixtures, one loss for alphas and weights."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class Snas(DartsOptions):
    """Stochastic search on one level, without the penalty on resources (Xie et al., ICLR 2019).

    Values: github.com/SNAS-Series/SNAS-Series, SNAS/train_search.py, lines 31 to 52, 74, 75, 84 and 85; 254
    to 259 (Adam; on one GPU that script has SGD instead); and 505, the largest norm of the alphas' gradient.
    """

    published: ClassVar = {
        "relaxation": "gumbel",
        "bilevel": False,
        "temperature": 1.0,
        "temperature_min": 0.03,
        "alpha_mean": 1.0,
        "alpha_scale": 0.01,
        "alpha_clip_grad": 10.0,
    }
    search: ClassVar = {"epochs": 150}
