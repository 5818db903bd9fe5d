"""Pareto fronts: the points that no other point beats in every objective."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pareto_front(objectives: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Find the points that no other point dominates.

    A point dominates another when it is no worse in any objective and better in at least one. Equal points do
    not dominate each other, so all copies of an undominated point are on the front.

    Args:
        objectives: finite values to minimise, [n, k]: n points with k objectives each.

    Returns:
        Indices of the undominated points in ascending order, [m] with m <= n.
    """
    order = np.lexsort(objectives.T[::-1])  # only earlier points of this order can dominate a later one
    front: list[np.intp] = []
    for index in order:
        earlier = objectives[front]
        is_no_worse = (earlier <= objectives[index]).all(axis=1)
        is_better = (earlier < objectives[index]).any(axis=1)
        if not (is_no_worse & is_better).any():
            front.append(index)
    return np.sort(np.array(front, dtype=np.intp))
