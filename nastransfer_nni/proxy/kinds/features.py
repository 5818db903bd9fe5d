"""`k-center` and `herding`: images that represent a feature space.

Both go class by class, so that their time grows with the number of images times the number selected per
class. With `across` they select from all classes at once, which takes (images selected) x (images) distances.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from threadpoolctl import threadpool_limits

from nastransfer_nni.base.environment import available_cores
from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import Scored
from nastransfer_nni.proxy.kinds.sized import Stratified
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register
from search_spaces.errors import UserError

Features = npt.NDArray[np.float32]


class _FeatureSelection(Scored, Stratified):
    """Images selected by their features, class by class or from all classes at once."""

    across: bool = Field(
        False, description="select from all classes at once instead of class by class; without floor"
    )

    @property
    def column(self) -> str:
        """The features."""
        return "features"

    @model_validator(mode="after")
    def _check_across(self) -> Self:
        if self.across and (self.per_class is not None or self.floor != 1):
            raise UserError("a choice across classes has neither per_class nor floor")
        return self

    @abstractmethod
    def _choose(self, features: Features, number: int, first: int) -> Rows:
        """Select images of one block.

        Args:
            features: features of the block's images, float32 [N, D].
            number: number of images to select.
            first: index of a random image.

        Returns:
            Indices into the block, int64 [number].
        """

    def choose(self, pool: Pool, seed: int) -> Rows:
        """Select from every block of images; several blocks are processed at a time."""
        blocks = list(self._blocks(pool, seed))
        features = pool.column(self.score_source, self.column)
        random = hashing.seeded(pool.keys, seed, "images")

        def choose_in(block: tuple[Rows, int]) -> Rows:
            rows, number = block
            first = int(np.argmin(random[rows]))
            return rows[self._choose(np.asarray(features[rows], dtype=np.float32), number, first)]

        # BLAS runs in one thread: sums, and so the selection, must not depend on the number of cores.
        with threadpool_limits(1), ThreadPoolExecutor(available_cores()) as threads:
            return np.sort(np.concatenate(list(threads.map(choose_in, blocks))))

    def _blocks(self, pool: Pool, seed: int) -> Iterator[tuple[Rows, int]]:
        """Rows among which to select, and how many of them."""
        if self.across:
            yield np.arange(len(pool)), self.number(pool, seed)
            return
        ordered = np.argsort(pool.labels, kind="stable")
        ends = np.cumsum(pool.counts)
        for label, number in enumerate(self.quota(pool, seed).tolist()):
            if number:
                yield ordered[ends[label] - pool.counts[label] : ends[label]], number


@register("k-center")
class KCenter(_FeatureSelection):
    """Images that cover the features: each next one is the farthest from those selected."""

    @property
    def depends_on_seed(self) -> bool:
        """True, unless all images are kept: the first image of each block is random."""
        return not self.keeps_all

    def _choose(self, features: Features, number: int, first: int) -> Rows:
        return k_center(features, number, first)


@register("herding")
class Herding(_FeatureSelection):
    """Images with the mean features of all: each next one brings the mean closest to it.

    There is no random choice, so the seed matters only where the number of images depends on it (`like` a
    random proxy).
    """

    def _choose(self, features: Features, number: int, first: int) -> Rows:
        return herding(features, number)


def k_center(features: Features, number: int, first: int = 0) -> Rows:
    """Greedy k-center by Euclidean distance (Gonzalez, 1985; Sener and Savarese, ICLR 2018, algorithm 1).

    Args:
        features: points, float32 [N, D].
        number: number of points to select.
        first: index of the first point.

    Returns:
        Indices in the order of selection, int64 [number].
    """
    features = features - features.mean(axis=0)  # smaller numbers lose less in the differences below
    squares = np.einsum("nd,nd->n", features, features)
    chosen = np.empty(number, dtype=np.int64)
    chosen[0] = first
    distance = np.full(len(features), np.inf, dtype=np.float32)  # squared, to the nearest selected point
    for step in range(1, number):
        last = chosen[step - 1]
        to_last = squares - 2 * (features @ features[last]) + squares[last]
        np.minimum(distance, to_last, out=distance)
        distance[last] = -np.inf
        chosen[step] = np.argmax(distance)
    return chosen


def herding(features: Features, number: int) -> Rows:
    """Herding without replacement, in the Euclidean form of Rebuffi et al. (iCaRL, CVPR 2017, algorithm 4).

    The idea is Welling's ("Herding dynamical weights to learn", ICML 2009): the mean of the selected points
    follows that of all. The next point minimises ||mean - (sum + x) / k||, where `sum` is that of the k - 1
    points selected before.

    Args:
        features: points, float32 [N, D].
        number: number of points to select.

    Returns:
        Indices in the order of selection, int64 [number].
    """
    # Moving all points changes no distance, and the sums below stay small: in float32, sums of uncentred
    # features lose so many digits that later choices differ.
    features = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("nd,nd->n", features, features)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    to_mean = features @ mean
    to_sum = np.zeros(len(features), dtype=np.float32)
    is_free = np.ones(len(features), dtype=bool)
    chosen = np.empty(number, dtype=np.int64)
    for step in range(number):
        # ||mean - (sum + x) / k||^2 times k / 2, without the terms that are the same for every x
        cost = (2 * to_sum + squares) / (2 * (step + 1)) - to_mean
        cost[~is_free] = np.inf
        chosen[step] = np.argmin(cost)
        is_free[chosen[step]] = False
        to_sum += features @ features[chosen[step]]
    return chosen
