"""`all`: the whole training split."""

from __future__ import annotations

import numpy as np

from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import Size, Step, register


@register("all")
class AllImages(Step):
    """Every image."""

    @property
    def depends_on_seed(self) -> bool:
        """False: nothing is chosen."""
        return False

    @property
    def keeps_every_image(self) -> bool:
        """True."""
        return True

    def choose(self, pool: Pool, seed: int) -> Rows:
        """All rows."""
        return np.arange(len(pool))

    def size(self, pool: Size, source: Size) -> Size:
        """The size of the pool."""
        return pool
