from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.kinds.sized import proportional
from search_spaces.errors import UserError
from tests.proxy import cases

counts_of_any_kind = st.lists(st.integers(1, 40), min_size=3, max_size=12)


def pool_of(counts, seed=0):
    pool = cases.pool_of(counts, seed)
    return replace(pool, classes=tuple(f"c{label}" for label in range(len(counts))))


def choose(pool, text, seed=0):
    return spec.parse(text).choose(pool, seed)


def share_out(counts, number, floor):
    return proportional(cases.pool_of(counts), number, floor)


def counted(pool, rows):
    return np.bincount(pool.labels[rows], minlength=len(pool.classes))


@settings(max_examples=100, deadline=None)
@given(counts_of_any_kind, st.floats(0.01, 1), st.integers(0, 5))
def test_proportional_gives_whole_numbers_close_to_each_share(counts, fraction, floor):
    counts = np.array(counts)
    size = round(fraction * counts.sum())
    least = np.minimum(floor, counts)
    assume(size >= max(least.sum(), len(counts)))
    floor = max(floor, 1)
    given_out = share_out(counts, size, floor) if (np.minimum(floor, counts).sum() <= size) else None
    assume(given_out is not None)
    assert given_out.sum() == size
    assert (given_out >= np.minimum(floor, counts)).all() and (given_out <= counts).all()
    free = given_out > np.minimum(floor, counts)
    if free.sum() > 1:  # classes above the floor share alike, to less than one image in their quota
        scale = given_out[free] / counts[free]
        width = 1 / counts[free]
        assert (scale - width).max() <= (scale + width).min() + 1e-9


def test_proportional_is_the_largest_remainder_method():
    assert share_out([50, 30, 20], 7, 0).tolist() == [4, 2, 1]  # 3.5, 2.1, 1.4
    assert share_out([100, 3, 1], 10, 1).tolist() == [8, 1, 1]
    assert share_out([5, 0, 5], 5, 1)[1] == 0


def test_proportional_refuses_what_leaves_a_class_empty():
    with pytest.raises(UserError, match="1 classes would have no image"):
        share_out([100, 1], 10, 0)
    with pytest.raises(UserError, match="3 are needed"):
        share_out([10, 10, 10], 2, 1)


@settings(max_examples=50, deadline=None)
@given(counts_of_any_kind, st.integers(0, 99), st.integers(2, 12))
def test_classes_keep_all_images_and_are_nested(counts, seed, wanted):
    pool = pool_of(counts)
    assume(wanted < len(counts))
    rows = choose(pool, f"classes:{wanted}", seed)
    kept = counted(pool, rows)
    assert np.count_nonzero(kept) == wanted
    assert set(zip(kept, counts, strict=True)) <= {(0, c) for c in counts} | {(c, c) for c in counts}
    assert set(rows) <= set(choose(pool, f"classes:{wanted + 1}", seed))


@settings(max_examples=50, deadline=None)
@given(counts_of_any_kind, st.integers(0, 99), st.sampled_from([0.3, 0.5, 1.0]))
def test_a_choice_does_not_depend_on_the_order_of_rows(counts, seed, fraction):
    pool = pool_of(counts)
    size = max(round(fraction * len(pool)), len(counts))
    text = f"images:{size}" if size > 1 else "images:1"
    shuffle = np.random.default_rng(seed).permutation(len(pool))
    rows = choose(pool, text, seed)
    again = choose(pool.subset(shuffle), text, seed)
    assert len(rows) == size and len(np.unique(rows)) == size
    assert set(pool.keys[rows]) == set(pool.keys[shuffle][again])


def test_images_are_drawn_evenly():
    pool = pool_of([100, 100])
    times = np.zeros(200)
    for seed in range(300):
        times[choose(pool, "images:0.2", seed)] += 1
    assert abs(times.mean() - 60) < 1e-9 and times.min() > 30 and times.max() < 95  # 60 +- 5 sigma of 7


def test_most_least_and_listed_classes():
    pool = pool_of([5, 50, 20, 50, 1])
    assert np.flatnonzero(counted(pool, choose(pool, "classes:2,select=most"))).tolist() == [1, 3]
    assert np.flatnonzero(counted(pool, choose(pool, "classes:2,select=least"))).tolist() == [0, 4]
    assert np.flatnonzero(counted(pool, choose(pool, "classes:names=c4,c2"))).tolist() == [2, 4]
    assert counted(pool, choose(pool, "classes:names=c1,c2,per_class=7")).tolist() == [0, 7, 7, 0, 0]
    with pytest.raises(UserError, match="unknown class 'dog'; known: c0, c1"):
        choose(pool, "classes:names=c1,dog")
    with pytest.raises(UserError, match="6 classes were asked for, there are 5"):
        choose(pool, "classes:6")
    with pytest.raises(UserError, match=r"2 classes have fewer than 7 images \('c0' has 5\)"):
        choose(pool, "classes:5,per_class=7")


def test_frequent_classes_are_drawn_more_often():
    pool = pool_of([10, 10, 100])
    first = [counted(pool, choose(pool, "classes:2,select=frequency", seed))[2] > 0 for seed in range(400)]
    # The chance that the third of weights 1, 1, 10 is among two drawn: 1 - (2/12) * (1/11)
    assert abs(np.mean(first) - 0.985) < 0.02


def test_balanced_head_and_tail():
    pool = pool_of([5, 50, 20, 24, 1])
    assert counted(pool, choose(pool, "balanced")).tolist() == [1, 1, 1, 1, 1]
    assert counted(pool, choose(pool, "balanced:20,short=drop")).tolist() == [0, 20, 20, 20, 0]
    assert counted(pool, choose(pool, "balanced:20,short=keep")).tolist() == [5, 20, 20, 20, 1]
    with pytest.raises(UserError, match="short=drop leaves such classes out"):
        choose(pool, "balanced:20")
    with pytest.raises(UserError, match="no class has 60 images"):
        choose(pool, "balanced:60,short=drop")
    assert counted(pool, choose(pool, "head:0.5")).tolist() == [0, 50, 0, 0, 0]
    assert counted(pool, choose(pool, "head:0.51")).tolist() == [0, 50, 0, 24, 0]
    assert counted(pool, choose(pool, "tail:0.06")).tolist() == [5, 0, 0, 0, 1]


def test_classes_under_a_synset(tmp_path):
    tree = tmp_path / "is_a.txt"
    tree.write_text("root animal\nanimal c0\nanimal bird\nbird c3\nroot c1\nbird c0\n")
    pool = pool_of([5, 5, 5, 5])
    rows = choose(pool, f"classes:under=animal,hierarchy={tree}")
    assert np.flatnonzero(counted(pool, rows)).tolist() == [0, 3]
    with pytest.raises(UserError, match="3 classes were asked for, there are 2"):
        choose(pool, f"classes:3,under=animal,hierarchy={tree}")
    with pytest.raises(UserError, match="'fish' is not in"):
        choose(pool, f"classes:under=fish,hierarchy={tree}")
    tree.write_text("root animal\nbroken\n")
    with pytest.raises(UserError, match="line 2: expected `parent child`"):
        choose(pool, f"classes:under=animal,hierarchy={tree}")
