"""SDARTS (Chen and Hsieh, ICML 2020): weights that are good in a neighbourhood of the mixture."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class SdartsRs(DartsOptions):
    """DARTS whose weights learn under random perturbations of the mixture (Chen and Hsieh, ICML 2020).

    Values: github.com/xiangning-chen/SmoothDARTS, sota/cnn/train_search.py, lines 57 and 170.
    """

    published: ClassVar = {"perturbation": "random", "radius_min": 0.03, "radius": 0.3}


class SdartsAdv(DartsOptions):
    """DARTS whose weights learn under perturbations of the mixture that raise the loss.

    The radius is that of `SdartsRs`; an attack has seven steps (attacker/perturb.py, line 11).
    """

    published: ClassVar = {"perturbation": "adversarial", "radius_min": 0.03, "radius": 0.3}
