"""`moderate`: of every class, the images at a medium distance from the class's center."""

from __future__ import annotations

import numpy as np

from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import Scored
from nastransfer_nni.proxy.kinds.sized import Stratified
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register


@register("moderate")
class Moderate(Scored, Stratified):
    """Images whose distance from the mean features of their class is closest to the median distance.

    Xia et al., "Moderate coreset: a universal method of data selection for real-world data-efficient deep
    learning", ICLR 2023, section 3. The number of images of each class follows `amount`, as for other kinds.
    """

    @property
    def column(self) -> str:
        """The features."""
        return "features"

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each class with the smallest |d - median(d)|; keys order equal ones."""
        quota = self.quota(pool, seed)
        features = pool.column(self.score_source, self.column)
        chosen = []
        for label in np.flatnonzero(quota):
            rows = np.flatnonzero(pool.labels == label)
            points = np.asarray(features[rows], dtype=np.float64)
            distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
            order = np.lexsort((pool.keys[rows], np.abs(distance - np.median(distance))))
            chosen.append(rows[order[: quota[label]]])
        return np.sort(np.concatenate(chosen))
