"""`coverage`: random images of every level of hardness, without the hardest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import ByHardness
from nastransfer_nni.proxy.kinds.sized import Sized
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register
from search_spaces.errors import UserError


@register("coverage")
class Coverage(ByHardness, Sized):
    """Coverage-centric coreset selection: the hardest share is dropped, the rest is stratified by hardness.

    Zheng, Liu, Lai, Prakash, "Coverage-centric coreset selection for high pruning rates", ICLR 2023,
    algorithm 1. The strata are equally wide in the score. Each gives the same number of images; one that has
    fewer gives all, and the others share what it lacks. Classes are not balanced.
    """

    cutoff: float = Field(0.1, ge=0, lt=1, description="share of the hardest images that is dropped first")
    strata: int = Field(50, ge=1, description="number of equally wide ranges of the measure of hardness")

    @property
    def depends_on_seed(self) -> bool:
        """True, unless all images are kept: the images of a stratum are drawn."""
        return not self.keeps_all

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each stratum with the lowest random ranks.

        Raises:
            UserError: fewer images remain after the cutoff than are asked for.
        """
        number = self.number(pool, seed)
        hardness = pool.column(self.score_source, self.column)
        remaining = np.lexsort((pool.keys, hardness))[: len(pool) - int(self.cutoff * len(pool))]
        if number > len(remaining):
            raise UserError(
                f"it asks for {number} images, cutoff={self.cutoff:g} leaves {len(remaining)} of {len(pool)}"
            )
        stratum = _strata(hardness[remaining], self.strata)
        ordered = np.lexsort((hashing.seeded(pool.keys[remaining], seed, "images"), stratum))
        sizes = np.bincount(stratum, minlength=self.strata)
        starts = np.cumsum(sizes) - sizes
        picked = [
            ordered[start : start + count]
            for start, count in zip(starts, budgets(sizes, number), strict=True)
        ]
        return np.sort(remaining[np.concatenate(picked)])


def _strata(hardness: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """The stratum of every image, 0 to count - 1, int64 [N]."""
    low, width = hardness.min(), np.ptp(hardness) / count
    if width == 0:
        return np.zeros(len(hardness), dtype=np.int64)
    return np.minimum((hardness - low) / width, count - 1).astype(np.int64)


def budgets(sizes: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """Number of images of each stratum, int64 [strata]: the smallest strata are served first.

    Args:
        sizes: number of images that each stratum has.
        number: number of images in all, at most the sum of `sizes`.
    """
    budget = np.zeros_like(sizes)
    for served, stratum in enumerate(np.argsort(sizes, kind="stable")):
        budget[stratum] = min(sizes[stratum], (number - budget.sum()) // (len(sizes) - served))
    return budget
