import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.pool import Pool


@dataclass(frozen=True)
class PoolWithScores(Pool):
    scores: np.ndarray

    def subset(self, rows):
        return replace(super().subset(rows), scores=self.scores[rows])

    def column(self, source, name):
        return self.scores


def image_weights(entropies, kind, width):
    (step,) = spec.parse_steps(f"entropy-{kind}:0.5")
    return step.image_weights(entropies, width)


# On edges of bins 0.5 wide (1, 0.1, 0.01), inside them, and without a logarithm.
ENTROPIES = [0.0, 0.0, 1.0, 0.9, 0.5, 0.4, 0.1, 0.0999, 0.05, 0.01, 0.0099, 2.1, 2.2, 1e-9, 0.0]


def slowly(entropies, kind, width):
    """The probabilities of Na et al., image by image, in exact numbers where the formula has them."""
    edges = [Fraction(k) * Fraction(width) for k in range(-400, 400)]

    def bin_of(entropy):
        if entropy == 0:
            return "zero"
        log = Fraction(round(math.log10(entropy), 12))
        return next(k for k in range(len(edges) - 1) if edges[k] <= log < edges[k + 1])

    heights = Counter(map(bin_of, entropies))
    chances = []
    for entropy in entropies:
        height = heights[bin_of(entropy)]
        weight = {
            "p1": max(heights.values()) - height + 1,
            "p2": 1,
            "p3": Fraction(1, height),
        }[kind]
        chances.append(Fraction(weight) / height)
    return [float(chance / sum(chances)) for chance in chances]


@pytest.mark.parametrize("kind", ["p1", "p2", "p3"])
@pytest.mark.parametrize("width", [0.5, 0.25])
def test_entropy_weights_are_those_of_the_formula(kind, width):
    ours = image_weights(np.array(ENTROPIES), kind, width)
    np.testing.assert_allclose(ours / ours.sum(), slowly(ENTROPIES, kind, width), rtol=1e-12)


@pytest.mark.parametrize("kind", ["p1", "p2", "p3"])
def test_entropy_weights_of_many_random_images(kind):
    entropies = 10 ** np.random.default_rng(0).normal(-2, 1, 300)
    ours = image_weights(entropies, kind, 0.5)
    np.testing.assert_allclose(ours / ours.sum(), slowly(entropies, kind, 0.5), rtol=1e-12)


def pool_of(scores, classes=2):
    count = len(scores)
    keys = hashing.mix(np.arange(count, dtype=np.uint64))
    labels = (np.arange(count) % classes).astype(np.int32)
    return PoolWithScores(tuple(map(str, range(classes))), labels, keys, np.array(scores))


@pytest.mark.parametrize("kind", ["p1", "p3"])
def test_images_are_drawn_as_numpy_draws_without_replacement(kind):
    pool, proxy = pool_of(ENTROPIES), spec.parse(f"entropy-{kind}:5,bin_width=0.5")
    ours, theirs = np.zeros(len(pool)), np.zeros(len(pool))
    random = np.random.default_rng(0)
    chances = slowly(ENTROPIES, kind, 0.5)
    for seed in range(2000):
        rows = proxy.choose(pool, seed)
        assert len(set(rows)) == 5
        ours[rows] += 1
        theirs[random.choice(len(pool), 5, replace=False, p=chances)] += 1
    np.testing.assert_allclose(ours / 2000, theirs / 2000, atol=0.06)  # 4 sigma of the difference


def test_all_images_can_be_drawn():
    rows = spec.parse("entropy-p2:1").choose(pool_of(ENTROPIES), seed=0)
    assert rows.tolist() == list(range(15))


@pytest.mark.parametrize(("kind", "reverse"), [("easy", False), ("hard", True)])
def test_easiest_and_hardest_of_each_class(kind, reverse):
    loss = np.random.default_rng(1).random(40)
    pool = pool_of(loss, classes=4)
    rows = spec.parse(f"{kind}:0.3").choose(pool, seed=0)
    expected = []
    for label in range(4):
        members = [row for row in range(40) if pool.labels[row] == label]
        expected += sorted(members, key=lambda row: loss[row], reverse=reverse)[:3]
    assert rows.tolist() == sorted(expected)
