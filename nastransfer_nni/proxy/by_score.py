"""Choices by what a trained network says of every image: entropy histograms, easy and hard images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.by_label import Pool, lowest, quotas

Scores = npt.NDArray[np.float64]


def choose_by_entropy(pool: Pool, step: spec.Entropy, size: int, entropy: Scores, seed: int) -> hashing.Rows:
    """Draw `size` rows without replacement, with probabilities proportional to w_b / h_b of their bins."""
    width = step.bin_width or (0.5 if np.count_nonzero(pool.counts) <= 10 else 0.25)
    weights = entropy_weights(entropy, step.kind.removeprefix("entropy-"), width)
    # Efraimidis and Spirakis (2006): the largest u ** (1 / w) are a draw without replacement.
    rank = -np.log(hashing.uniform(pool.keys, seed, "images")) / weights
    return np.sort(np.argsort(rank, kind="stable")[:size])


def entropy_weights(entropy: Scores, kind: str, width: float) -> Scores:
    """Weight of each image in the draw of Na et al. (IJCAI 2021), up to a constant, float64 [N].

    The bins of log10 entropy are half-open, [k * width, (k + 1) * width); an entropy of 0 has no logarithm
    and is in a bin of its own. With h_b images in bin b, its weight w_b is max(h) - h_b + 1 (p1), the same
    for all (p2) or 1 / h_b (p3), and an image's is w_b / h_b.
    """
    with np.errstate(divide="ignore"):
        place = np.floor(np.log10(entropy) / width + 1e-9)  # a value on an edge is not lost to rounding
    _, bins, heights = np.unique(place, return_inverse=True, return_counts=True)
    weight = {"p1": heights.max() - heights + 1.0, "p2": np.ones(len(heights)), "p3": 1 / heights}[kind]
    return (weight / heights)[bins]


def choose_ranked(pool: Pool, step: spec.Ranked, size: int | None, hardness: Scores) -> hashing.Rows:
    """The easiest or hardest rows of every class; equal scores go by key."""
    ranked = np.lexsort((pool.keys, hardness if step.kind == "easy" else -hardness))
    rank = np.empty(len(pool), dtype=np.uint64)
    rank[ranked] = np.arange(len(pool), dtype=np.uint64)
    return lowest(pool, rank << np.uint64(32), quotas(pool, step, size))
