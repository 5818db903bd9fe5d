"""Disjoint parts of a labelled set, stratified by class: for searches, and for held-out images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from search_spaces.errors import UserError


def in_proportion(labels: npt.NDArray[np.integer], ranks: hashing.Keys) -> hashing.Rows:
    """Rows in an order of which every stretch has every class in proportion, int64 [N].

    Args:
        labels: class of each row, int64 [N].
        ranks: order within a class, uint64 [N].
    """
    counts = np.bincount(labels)
    ordered = hashing.by_class(labels, ranks, len(counts))
    within = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.empty(len(labels))
    place[ordered] = (within + 0.5) / np.repeat(counts, counts)
    return np.lexsort((ranks, place))


def split(
    labels: npt.NDArray[np.integer], shares: Sequence[float] = (0.5, 0.5), seed: int = 0
) -> list[hashing.Rows]:
    """Draw disjoint parts that contain given shares of every class.

    A share that is not a whole number of images is rounded up or down at random for each class, so that a
    part has the right size even if most classes have one or two images. The draw depends on the positions of
    rows: for parts that do not depend on how a set is stored, put the set in its canonical order first.

    Args:
        labels: class of each row, int64 [N].
        shares: fraction of each class per part, such as `(0.5, 0.5)`, or PC-DARTS's `(0.1, 0.025)`.
        seed: random seed of the draw.

    Returns:
        The rows of each part in ascending order, int64 [n] each.

    Raises:
        UserError: a share is not above 0, the shares add up to more than 1, or a part would be empty.
    """
    if not shares or min(shares) <= 0 or sum(shares) > 1 + 1e-9:
        raise UserError(f"shares must be above 0 and add up to at most 1 (got {', '.join(map(str, shares))})")
    rows = np.arange(len(labels), dtype=np.uint64)
    counts = np.bincount(labels)
    ordered = hashing.by_class(labels, hashing.seeded(rows, seed, "split"), len(counts))
    classes = np.arange(len(counts))
    index = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the class
    chance = hashing.uniform(classes.astype(np.uint64), seed, "split-rounding")
    bounds = [np.zeros(len(classes), dtype=np.int64)]
    for total in np.cumsum(shares):
        bound = np.floor(total * counts + np.minimum(chance, 1 - 1e-6) + 1e-9)
        bounds.append(np.minimum(bound.astype(np.int64), counts))
    parts = []
    for lower, upper in itertools.pairwise(bounds):
        inside = (index >= np.repeat(lower, counts)) & (index < np.repeat(upper, counts))
        parts.append(np.sort(ordered[inside]))
    if any(len(part) == 0 for part in parts):
        raise UserError(f"{len(labels)} images are too few for shares of {', '.join(map(str, shares))}")
    return parts
