"""Parts of image sets by name: which images are in them does not depend on the storage form."""

import numpy as np
import pytest

from nastransfer_nni.data import slices, sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.splits import in_proportion
from search_spaces.errors import UserError

PARTS = ("train[:400]", "train[400:700]", "train[700:]+test")


def test_parts_of_the_digits_share_no_image_and_miss_none():
    parts = [load("digits", name) for name in PARTS]
    assert [len(part) for part in parts] == [400, 300, 737 + 360]
    keys = np.concatenate([part.keys for part in parts])
    assert set(keys) == {*load("digits").keys, *load("digits", "test").keys} and len(keys) == 1797
    for part in parts[:2]:  # every class in proportion, to the image
        expected = np.bincount(load("digits").labels) * len(part) / 1437
        assert np.abs(np.bincount(part.labels) - expected).max() < 1


def test_every_stretch_has_every_class_in_proportion():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = in_proportion(labels, np.random.default_rng(0).integers(0, 2**63, 1000).astype(np.uint64))
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 100):
        assert np.bincount(labels[order[start : start + 100]]).tolist() == [60, 30, 10]


def test_joined_parts_have_the_images_of_their_splits():
    joined, train, test = (
        load("digits", "train[1400:]+test"),
        load("digits", "train[1400:]"),
        load("digits", "test"),
    )
    assert joined.keys.tolist() == [*train.keys, *test.keys]
    for row, part in ((3, train), (40, test)):
        of_part = row if part is train else row - len(train)
        assert np.array_equal(joined.image(row), part.image(of_part)) and joined[row][1] == part[of_part][1]


def test_order_does_not_depend_on_the_order_of_rows(monkeypatch):
    from nastransfer_nni.data import loading

    expected = set(load("digits", "train[:50]").keys)
    whole = loading._load
    monkeypatch.setattr(
        loading, "_load", lambda *a: whole(*a).select(np.random.default_rng(1).permutation(1437))
    )
    assert set(load("digits", "train[:50]").keys) == expected


def test_a_source_may_name_what_counts_as_its_training_split():
    source = sources.check("digits@split=train[:400]")
    assert load(source).keys.tolist() == load("digits", "train[:400]").keys.tolist()
    assert load(source, "test").keys.tolist() == load("digits", "test").keys.tolist()


def test_sizes_are_known_without_opening_a_set():
    known = {"train": 50_000, "test": 10_000}
    assert [slices.size(name, known) for name in ("train[:10000]", "train[17500:]+test", "validation")] == [
        10_000,
        42_500,
        None,
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trian[:4]", "unknown split 'trian' .did you mean 'train'"),
        ("train[:4", "'train\\[:4' is no part of a set"),
        ("train[4:4]", "has no images"),
        ("train[:2000]", r"its train split has 1,437 images, so there is no train\[:2000\]"),
        ("train[1437:]", r"so there is no train\[1437:\]"),
    ],
)
def test_impossible_parts_are_refused_in_one_line(name, message):
    with pytest.raises(UserError, match=message):
        load("digits", name)
