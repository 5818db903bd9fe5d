"""`head` and `tail`: the most or least frequent classes."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
from pydantic import Field

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Counts, Pool
from nastransfer_nni.proxy.step import Size, Step, register


class _Frequency(Step):
    """Whole classes by their number of images, until they hold the share of the images."""

    main = "share"
    share: float = Field(
        0.5, gt=0, le=1, description="keep the fewest classes that hold this fraction of the images"
    )

    @abstractmethod
    def _rank(self, counts: Counts) -> Counts:
        """Rank of the classes with these numbers of images, int64 [C]; the lowest ranks are kept."""

    @property
    def depends_on_seed(self) -> bool:
        """True: the seed orders classes with equally many images, but nothing else."""
        return True

    def choose(self, pool: Pool, seed: int) -> Rows:
        """All images of the classes with the lowest ranks that together hold `share` of the pool."""
        counts = pool.counts
        tie_break = hashing.uniform(hashing.keys_of(pool.classes), seed, "classes")
        order = np.argsort(self._rank(counts) + tie_break, kind="stable")
        before = np.cumsum(counts[order]) - counts[order]
        is_kept = np.zeros(len(counts), dtype=bool)
        is_kept[order[before < self.share * len(pool)]] = True
        return np.flatnonzero(is_kept[pool.labels])

    def size(self, pool: Size, source: Size) -> Size:
        """The number of equally large classes that reach `share`, with their images."""
        classes = math.ceil(round(self.share * pool.classes, 9))
        return Size(round(pool.images * classes / pool.classes), classes)


@register("head")
class FrequencyHead(_Frequency):
    """The most frequent classes that hold a fraction of the images."""

    def _rank(self, counts: Counts) -> Counts:
        return -counts


@register("tail")
class FrequencyTail(_Frequency):
    """The least frequent classes that hold a fraction of the images."""

    def _rank(self, counts: Counts) -> Counts:
        return counts
