"""DARTS-PT (Wang et al., ICLR 2021): a cell chosen by what the supernet loses without each candidate."""

from __future__ import annotations

from typing import ClassVar

from strategies.darts.options import DartsOptions


class DartsPt(DartsOptions):
    """DARTS with selection by perturbation of the supernet (Wang et al., ICLR 2021).

    The authors may choose `none`, which leaves an edge without an operation; here it is not chosen. Values:
    github.com/ruocwang/darts-pt, exp_scripts/darts-proj-sota.sh (`proj_intv`), and sota/cnn/projection.py,
    lines 112 to 126: a tenth of the learning rate.
    """

    published: ClassVar = {"derivation": "projection", "projection_epochs": 5}
