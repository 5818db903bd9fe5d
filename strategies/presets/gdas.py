"""GDAS (Dong and Yang, CVPR 2019): one sampled operation an edge."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class Gdas(DartsOptions):
    """A differentiable sampler of one operation an edge (Dong and Yang, CVPR 2019).

    Values: github.com/D-X-Y/AutoDL-Projects, configs/search-opts/GDAS-NASNet-CIFAR.config, and the
    temperature of scripts-search/NASNet-space-search-by-GDAS.sh, line 36: from 10 to 0.1.
    """

    published: ClassVar = {
        "relaxation": "gumbel-hard",
        "temperature": 10.0,
        "temperature_min": 0.1,
        "weights_first": True,
        "nesterov": True,
    }
    search: ClassVar = {"epochs": 250, "batch_size": 256, "weight_decay": 5e-4}
