"""Pixels that are kept in the cache: the same as decoded ones, for every part of a set."""

from collections import Counter

import numpy as np
import pytest

from nastransfer_nni.data import memory
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import InMemoryImages
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError

SIZE = (8, 8)
UNREADABLE = 7


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path))
    monkeypatch.setattr(memory, "MANY", 400)
    return load("digits")


@pytest.fixture
def decoded(monkeypatch):
    """How often each image is decoded, by its number in the store."""
    counts, decode = Counter(), ImageSet.image

    def counting(images, row):
        counts[int(images.numbers[row])] += 1
        return decode(images, row)

    monkeypatch.setattr(ImageSet, "image", counting)
    return counts


def assert_same(kept, plain):
    assert np.array_equal(kept.images, plain.images) and np.array_equal(kept.labels, plain.labels)


def test_all_parts_of_a_set_are_decoded_once(digits, decoded):
    parts = digits.parts((0.4, 0.4, 0.05), seed=1)
    kept = [InMemoryImages.kept(part, SIZE) for part in parts + digits.parts((0.5, 0.5), seed=2)]
    assert len(decoded) == 1797 and set(decoded.values()) == {1}
    assert_same(kept[2], InMemoryImages.of(parts[2]))


def test_a_small_part_alone_does_not_decode_the_whole(digits, decoded):
    InMemoryImages.kept(digits.select(range(399)), SIZE)
    assert len(decoded) == 399 and not any(cache_folder("pixels").iterdir())


def test_damaged_pixels_are_decoded_anew(digits):
    InMemoryImages.kept(digits, SIZE)
    (file,) = cache_folder("pixels").iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    assert_same(InMemoryImages.kept(digits, SIZE), InMemoryImages.of(digits))


def test_unreadable_images_are_those_of_the_part(digits, monkeypatch):
    decode = ImageSet.image

    def failing(images, row):
        if images.numbers[row] == UNREADABLE:
            raise UnreadableImage(images.describe(row))
        return decode(images, row)

    monkeypatch.setattr(ImageSet, "image", failing)
    with_it, without = (digits.select(rows) for rows in (digits.numbers <= 1000, digits.numbers > UNREADABLE))
    assert UNREADABLE in with_it.numbers
    assert_same(
        InMemoryImages.kept(with_it, SIZE, "skip"), InMemoryImages.of(with_it, SIZE, on_bad_image="skip")
    )
    assert len(InMemoryImages.kept(without, SIZE, "stop")) == len(without)
    kept = InMemoryImages.kept(with_it, SIZE, "skip")
    assert BatchLoader(kept, 64, Augmentation.none(digits.source)).unreadable == ("image 7 of digits train",)
    with pytest.raises(UserError, match=r"1 of .* cannot be read: image 7 of digits train"):
        InMemoryImages.kept(with_it, SIZE, "stop")
