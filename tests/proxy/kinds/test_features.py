from dataclasses import dataclass, replace

import numpy as np
import pytest

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.kinds.features import herding, k_center
from nastransfer_nni.proxy.pool import Pool


@dataclass(frozen=True)
class PoolWithFeatures(Pool):
    features: np.ndarray

    def subset(self, rows):
        return replace(super().subset(rows), features=self.features[rows])

    def column(self, source, name):
        return self.features


def choose(pool, text, features, seed):
    pool = PoolWithFeatures(pool.classes, pool.labels, pool.keys, features)
    return spec.parse(text).choose(pool, seed)


def points(count=60, size=5, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def slow_k_center(data, size, first):
    chosen = [first]
    while len(chosen) < size:
        far = [min(((x - data[c]) ** 2).sum() for c in chosen) for x in data]
        chosen.append(int(np.argmax(far)))
    return chosen


def slow_herding(data, size):
    chosen = []
    while len(chosen) < size:
        rest = [row for row in range(len(data)) if row not in chosen]
        off = [((data.mean(0) - data[[*chosen, row]].mean(0)) ** 2).sum() for row in rest]
        chosen.append(rest[int(np.argmin(off))])
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_k_center_and_herding_choose_as_their_definitions_do(seed):
    data = points(seed=seed)
    assert k_center(data, 15, first=3).tolist() == slow_k_center(data.astype(np.float64), 15, 3)
    assert herding(data, 15).tolist() == slow_herding(data.astype(np.float64), 15)


def test_far_from_the_origin_k_center_still_tells_points_apart():
    data = points() + 1000
    assert k_center(data, 10).tolist() == slow_k_center(data.astype(np.float64), 10, 0)


def test_equal_points_are_chosen_once_each():
    data = np.zeros((6, 3), dtype=np.float32)
    assert sorted(k_center(data, 6).tolist()) == sorted(herding(data, 6).tolist()) == list(range(6))


@pytest.fixture
def pool():
    label = np.random.default_rng(2).integers(0, 3, 90).astype(np.int32)
    return Pool(("a", "b", "c"), label, hashing.mix(np.arange(90, dtype=np.uint64)))


@pytest.mark.parametrize("kind", ["k-center", "herding"])
def test_features_are_compared_class_by_class(pool, kind):
    data = points(90)
    rows = choose(pool, f"{kind}:per_class=4", data, seed=1)
    first = np.argmin(np.where(pool.labels == 1, hashing.seeded(pool.keys, 1, "images"), 2**64 - 1))
    members = np.flatnonzero(pool.labels == 1)
    slow = slow_k_center if kind == "k-center" else lambda block, size, _: slow_herding(block, size)
    expected = members[slow(data[members].astype(np.float64), 4, int(np.flatnonzero(members == first)[0]))]
    assert np.bincount(pool.labels[rows]).tolist() == [4, 4, 4]
    assert rows[pool.labels[rows] == 1].tolist() == sorted(expected)


def test_across_classes_there_is_one_choice(pool):
    data = points(90)
    first = int(np.argmin(hashing.seeded(pool.keys, 1, "images")))
    for size in (2, 12):  # also fewer than there are classes
        rows = choose(pool, f"k-center:{size},across=true", data, seed=1)
        assert rows.tolist() == sorted(slow_k_center(data.astype(np.float64), size, first))


def test_small_clusters_give_all_and_others_fill_up(pool):
    centers = np.array([[0, 0], [50, 0], [0, 50], [50, 50]], dtype=np.float32)
    member = np.repeat(np.arange(4), [3, 20, 27, 40])
    data = centers[member] + points(90, 2)
    rows = choose(pool, "cluster:30,clusters=4", data, seed=0)
    assert np.bincount(member[rows]).tolist() == [3, 9, 9, 9]
    again = choose(pool, "cluster:30,clusters=4", data, seed=0)
    assert rows.tolist() == again.tolist()
    assert len(choose(pool, "cluster:31,clusters=4", data, seed=0)) == 31
