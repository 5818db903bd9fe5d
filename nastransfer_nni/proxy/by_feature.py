"""Choices in a feature space: k-centre greedy, herding, clusters.

k-centre and herding go class by class, so that their time grows with the number of images and of images
chosen per class; `across` makes them choose over all images at once, at (images chosen) x (images) distances.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.by_label import Pool, quotas

Features = npt.NDArray[np.floating]
Block = npt.NDArray[np.float32]


def choose_spread(
    pool: Pool, step: spec.Spread, size: int | None, features: Features, seed: int
) -> hashing.Rows:
    """Rows that k-centre or herding chooses, in each class or across all."""
    choose: Callable[[Block, int, int], hashing.Rows] = k_center if step.kind == "k-center" else herding
    chance = hashing.seeded(pool.keys, seed, "images")

    def choose_in(block: tuple[hashing.Rows, int]) -> hashing.Rows:
        rows, wanted = block
        first = int(np.argmin(chance[rows]))
        return rows[choose(np.asarray(features[rows], dtype=np.float32), wanted, first)]

    # One thread for a block: sums, and so choices, do not depend on the number of processors.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as threads:
        return np.sort(np.concatenate(list(threads.map(choose_in, _blocks(pool, step, size)))))


def _blocks(pool: Pool, step: spec.Spread, size: int | None) -> Iterator[tuple[hashing.Rows, int]]:
    """The rows that are chosen among together, and how many of them."""
    if step.across:
        assert size is not None, "a choice across classes has a size"
        yield np.arange(len(pool)), size
        return
    ordered = np.argsort(pool.labels, kind="stable")
    bounds = np.cumsum(pool.counts)
    for label, wanted in enumerate(quotas(pool, step, size)):
        if wanted:
            yield ordered[bounds[label] - pool.counts[label] : bounds[label]], int(wanted)


def k_center(points: Block, size: int, first: int = 0) -> hashing.Rows:
    """Greedy k-centre (Gonzalez, 1985; Sener and Savarese, 2018): the point farthest from those chosen.

    Args:
        points: float32 [N, D].
        size: how many to choose.
        first: the point to begin with.

    Returns:
        Indices in the order of choice, [size].
    """
    points = points - points.mean(axis=0)  # smaller numbers, and so less lost in the differences below
    squares = np.einsum("nd,nd->n", points, points)
    chosen = np.empty(size, dtype=np.int64)
    chosen[0] = first
    distance = np.full(len(points), np.inf, dtype=np.float32)
    for place in range(1, size):
        last = chosen[place - 1]
        np.minimum(distance, squares - 2 * (points @ points[last]) + squares[last], out=distance)
        distance[last] = -np.inf
        chosen[place] = np.argmax(distance)
    return chosen


def herding(points: Block, size: int, first: int = 0) -> hashing.Rows:
    """Herding (Welling, 2009): always the point that brings the mean of those chosen closest to that of all.

    Args:
        points: float32 [N, D].
        size: how many to choose.
        first: unused; herding begins at the mean.

    Returns:
        Indices in the order of choice, [size].
    """
    del first
    squares = np.einsum("nd,nd->n", points, points)
    mean = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    to_mean = points @ mean
    to_sum = np.zeros(len(points), dtype=np.float32)  # dot product with the sum of the chosen
    free = np.ones(len(points), dtype=bool)
    chosen = np.empty(size, dtype=np.int64)
    for place in range(size):
        # || mean - (sum + x) / k || ** 2, without what is the same for every x, times k / 2
        cost = (2 * to_sum + squares) / (2 * (place + 1)) - to_mean
        cost[~free] = np.inf
        chosen[place] = np.argmin(cost)
        free[chosen[place]] = False
        to_sum += points @ points[chosen[place]]
    return chosen


def choose_clusters(pool: Pool, step: spec.Cluster, size: int, features: Features, seed: int) -> hashing.Rows:
    """As many rows of every k-means cluster; clusters that are too small give all they have."""
    from sklearn.cluster import MiniBatchKMeans

    points = np.asarray(features, dtype=np.float32)
    count = min(step.clusters, len(points))
    means = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed % 2**32)
    with threadpool_limits(1):  # as above
        member = means.fit_predict(points)
    rank = np.lexsort((hashing.seeded(pool.keys, seed, "images"), member))
    sizes = np.bincount(member, minlength=count)
    quota = _level(sizes, size)
    starts = np.cumsum(sizes) - sizes
    picked = [rank[start : start + wanted] for start, wanted in zip(starts, quota, strict=True)]
    return np.sort(np.concatenate(picked))


def _level(sizes: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """Split `total` as evenly as the sizes allow."""
    quota = np.zeros_like(sizes)
    while (left := total - int(quota.sum())) > 0:
        open_ends = (quota < sizes).astype(np.int64)
        if left < open_ends.sum():
            quota[np.flatnonzero(open_ends)[:left]] += 1
            break
        quota += np.minimum(sizes - quota, left // int(open_ends.sum()))
    return quota
