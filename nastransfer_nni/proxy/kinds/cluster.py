"""`cluster`: images from every cluster of a feature space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field
from threadpoolctl import threadpool_limits

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import Scored
from nastransfer_nni.proxy.kinds.sized import Sized
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register


@register("cluster")
class Cluster(Scored, Sized):
    """Random images, the same number of every k-means cluster of the features."""

    clusters: int = Field(100, ge=2, description="number of k-means clusters of the features")

    @property
    def column(self) -> str:
        """The features."""
        return "features"

    @property
    def depends_on_seed(self) -> bool:
        """True, unless all images are kept: it seeds both k-means and the draw in each cluster."""
        return not self.keeps_all

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each cluster with the lowest random ranks; a small cluster gives all it has."""
        from sklearn.cluster import MiniBatchKMeans  # slow to import

        number = self.number(pool, seed)
        features = np.asarray(pool.column(self.score_source, self.column), dtype=np.float32)
        count = min(self.clusters, len(features))
        k_means = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed % 2**32)
        with threadpool_limits(1):  # BLAS sums must not depend on the number of cores
            cluster = k_means.fit_predict(features)
        ordered = np.lexsort((hashing.seeded(pool.keys, seed, "images"), cluster))
        sizes = np.bincount(cluster, minlength=count)
        starts = np.cumsum(sizes) - sizes
        quota = _even_quota(sizes, number)
        picked = [ordered[start : start + size] for start, size in zip(starts, quota, strict=True)]
        return np.sort(np.concatenate(picked))


def _even_quota(sizes: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """Divide `number` as evenly as the sizes of the clusters allow, int64 [clusters]."""
    quota = np.zeros_like(sizes)
    while (left := number - int(quota.sum())) > 0:
        has_more = (quota < sizes).astype(np.int64)
        if left < has_more.sum():
            quota[np.flatnonzero(has_more)[:left]] += 1
            break
        quota += np.minimum(sizes - quota, left // int(has_more.sum()))
    return quota
