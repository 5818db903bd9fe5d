"""`easy` and `hard`: of every class, the images that a network finds easiest or hardest."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import ByHardness
from nastransfer_nni.proxy.kinds.sized import Stratified
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register

Hardness = npt.NDArray[np.float64]


class _Hardness(ByHardness, Stratified):
    """Images of every class in the order of their hardness.

    Images with equal scores are ordered by their keys and scorers are trained with a fixed seed, so the
    choice depends on the proxy's seed only if the number of images does (`like` a random proxy).
    """

    @abstractmethod
    def _rank(self, hardness: Hardness) -> Hardness:
        """Ranks of images with this hardness, float64 [N]; the lowest ranks are kept."""

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each class with the lowest ranks."""
        quota = self.quota(pool, seed)
        order = np.lexsort((pool.keys, self._rank(pool.column(self.score_source, self.column))))
        rank = np.empty(len(pool), dtype=np.uint64)
        rank[order] = np.arange(len(pool), dtype=np.uint64)
        return pool.first_per_class(rank << np.uint64(32), quota)


@register("easy")
class Easy(_Hardness):
    """The easiest images of every class."""

    def _rank(self, hardness: Hardness) -> Hardness:
        return hardness


@register("hard")
class Hard(_Hardness):
    """The hardest images of every class."""

    def _rank(self, hardness: Hardness) -> Hardness:
        return -hardness
