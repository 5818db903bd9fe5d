"""`entropy-p1`, `entropy-p2`, `entropy-p3`: random images by the histogram of their predictive entropy.

Na, Mok, Choe, Yoon, "Accelerating neural architecture search via proxy data", IJCAI 2021.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.kinds.scored import Scored
from nastransfer_nni.proxy.kinds.sized import Sized
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import register

Weights = npt.NDArray[np.float64]


class EntropyHistogram(Scored, Sized):
    """Images drawn without replacement; a subclass weights the bins of log10 entropy."""

    bin_width: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="width of the bins of log10 entropy (nats); None: 0.5 up to 10 classes, 0.25 above",
    )

    @property
    def column(self) -> str:
        """The predictive entropy."""
        return "entropy"

    @abstractmethod
    def bin_weights(self, heights: npt.NDArray[np.int64]) -> Weights:
        """Weight of each bin, up to a constant.

        Args:
            heights: number of images in each bin, int64 [bins].

        Returns:
            Weights, float64 [bins]; a bin's weight is divided equally among its images.
        """

    @property
    def depends_on_seed(self) -> bool:
        """True, unless all images are kept."""
        return not self.keeps_all

    def choose(self, pool: Pool, seed: int) -> Rows:
        """Draw images with probabilities in proportion to `image_weights`."""
        number = self.number(pool, seed)
        entropy = pool.column(self.score_source, self.column)
        width = self.bin_width or (0.5 if np.count_nonzero(pool.counts) <= 10 else 0.25)
        weights = self.image_weights(entropy, width)
        # Efraimidis and Spirakis, 2006: the largest u ** (1 / w) are a weighted draw without replacement.
        rank = -np.log(hashing.uniform(pool.keys, seed, "images")) / weights
        return np.sort(np.argsort(rank, kind="stable")[:number])

    def image_weights(self, entropy: npt.NDArray[np.float64], width: float) -> Weights:
        """Weight of each image in the draw, up to a constant (Na et al., 2021).

        Bins are half-open, [k * width, (k + 1) * width). An entropy of 0 has no logarithm, so those images
        are in a bin of their own.

        Args:
            entropy: predictive entropy of each image in nats, float64 [N].
            width: width of a bin of log10 entropy.

        Returns:
            Weights, float64 [N].
        """
        with np.errstate(divide="ignore"):
            bins = np.floor(np.log10(entropy) / width + 1e-9)  # keeps a value on an edge in its bin
        _, bin_of, heights = np.unique(bins, return_inverse=True, return_counts=True)
        return (self.bin_weights(heights) / heights)[bin_of]


@register("entropy-p1")
class EntropyP1(EntropyHistogram):
    """Random images by their entropy: a bin of h images has the weight max(h) - h + 1."""

    def bin_weights(self, heights: npt.NDArray[np.int64]) -> Weights:
        """max(h) - h + 1."""
        return heights.max() - heights + 1.0


@register("entropy-p2")
class EntropyP2(EntropyHistogram):
    """Random images by their entropy: every bin has the same weight."""

    def bin_weights(self, heights: npt.NDArray[np.int64]) -> Weights:
        """1 for every bin."""
        return np.ones(len(heights))


@register("entropy-p3")
class EntropyP3(EntropyHistogram):
    """Random images by their entropy: a bin of h images has the weight 1 / h."""

    def bin_weights(self, heights: npt.NDArray[np.int64]) -> Weights:
        """1 / h."""
        return 1 / heights
