"""Choices by features, against a slow computation in double precision."""

import numpy as np
import pytest

from nastransfer_nni.proxy.kinds.features import herding


def herded(features, number):
    """Herding by its definition, in float64."""
    points = features.astype(np.float64)
    mean, total = points.mean(axis=0), np.zeros(points.shape[1])
    chosen = []
    for step in range(1, number + 1):
        distance = ((mean - (total + points) / step) ** 2).sum(axis=1)
        distance[chosen] = np.inf
        chosen.append(int(distance.argmin()))
        total += points[chosen[-1]]
    return chosen


@pytest.mark.parametrize("seed", (2, 4, 5))  # where uncentred float32 sums choose otherwise
def test_rounding_does_not_decide_what_herding_selects(seed):
    """Features behind a ReLU, of a class as large as CIFAR-10's."""
    features = np.random.default_rng(seed).normal(0.8, 1, (5000, 64)).clip(0).astype(np.float32)
    assert herding(features, 300).tolist() == herded(features, 300)
