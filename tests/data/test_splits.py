import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastransfer_nni.data.splits import split
from search_spaces.errors import UserError

labels_of_any_kind = st.lists(st.integers(0, 6), min_size=60, max_size=200).map(np.array)
shares_of_any_kind = st.lists(st.floats(0.05, 0.5), min_size=1, max_size=2)


@settings(max_examples=60, deadline=None)
@given(labels_of_any_kind, shares_of_any_kind, st.integers(0, 9))
def test_parts_are_disjoint_stratified_and_repeatable(labels, shares, seed):
    parts = split(labels, shares, seed)
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    for part, share in zip(parts, shares, strict=True):
        assert np.array_equal(part, np.sort(part))
        for label in np.unique(labels):
            assert abs((labels[part] == label).sum() - share * (labels == label).sum()) < 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, split(labels, shares, seed), strict=True))


def test_cifar_is_split_into_exact_halves():
    labels = np.repeat(np.arange(10), 5000)
    weights, alphas = split(labels)
    assert np.bincount(labels[weights]).tolist() == np.bincount(labels[alphas]).tolist() == [2500] * 10
    assert not np.array_equal(split(labels, seed=1)[0], weights)


def test_pc_darts_shares_of_imagenet():
    labels = np.repeat(np.arange(1000), 1300)
    weights, alphas = split(labels, (0.1, 0.025))
    assert set(np.bincount(labels[weights])) == {130}
    assert set(np.bincount(labels[alphas])) == {32, 33} and abs(len(alphas) - 32500) < 100
    assert len(np.intersect1d(weights, alphas)) == 0


def test_classes_of_a_single_image_are_split_evenly():
    first, second = split(np.arange(10000))
    assert abs(len(first) - 5000) < 200 and len(first) + len(second) == 10000


@pytest.mark.parametrize("shares", [(), (0.0, 0.5), (-0.1,), (0.6, 0.5)])
def test_bad_shares_are_refused(shares):
    with pytest.raises(UserError, match="shares must be above 0"):
        split(np.zeros(10, dtype=np.int64), shares)


def test_a_part_without_images_is_refused():
    with pytest.raises(UserError, match="too few"):
        split(np.zeros(3, dtype=np.int64), (0.9, 0.001))
