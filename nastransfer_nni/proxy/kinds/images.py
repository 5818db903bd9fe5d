"""`images`: random images of every class."""

from __future__ import annotations

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.sized import Stratified
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register


@register("images")
class Images(Stratified):
    """Random images, the same fraction or number of every class."""

    @property
    def depends_on_seed(self) -> bool:
        """True, unless all images are kept."""
        return not self.keeps_all

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each class with the lowest random ranks: fewer images are a subset of more."""
        return pool.first_per_class(hashing.seeded(pool.keys, seed, "images"), self.quota(pool, seed))
