import pickle

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nastransfer_nni.data.image_set import summary
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import check
from tests.data.made_images import write_folder


@pytest.fixture
def images(tmp_path):
    write_folder(tmp_path / "set", size=(20, 10))
    return load(check(str(tmp_path / "set")))


def test_select_and_relabel_follow_the_rows(images):
    some = images.select([14, 0, 5])
    assert [some.classes[label] for label in some.labels] == ["b", "a10", "a9"]
    assert np.array_equal(np.asarray(some.image(0)), np.asarray(images.image(14)))
    only = images.relabel(["b", "a10"])
    assert only.classes == ("b", "a10") and only.counts == {"b": 5, "a10": 5}
    assert np.array_equal(np.asarray(only.image(0)), np.asarray(images.image(0)))  # rows keep their order
    with pytest.raises(KeyError):
        images.relabel(["c"])


def test_the_canonical_order_does_not_depend_on_the_order(images):
    shuffled = images.select(np.random.default_rng(0).permutation(len(images)))
    assert shuffled.canonical().classes == ("a9", "a10", "b")
    assert np.array_equal(shuffled.canonical().keys, images.canonical().keys)
    assert shuffled.fingerprint == images.fingerprint
    assert images.select(range(14)).fingerprint != images.fingerprint


def test_labels_are_read_only(images):
    with pytest.raises(ValueError, match="read-only"):
        images.labels[0] = 1


def test_resized_takes_the_central_square(images):
    assert images.pixels == (20, 10)
    small = images.resized(5)
    assert small.pixels == (5, 5) and small.image(0).size == (5, 5)
    same = np.asarray(images.resized(10).image(0))
    assert np.array_equal(same, np.asarray(images.image(0))[5:15])


def test_workers_get_a_small_copy(images):
    again = pickle.loads(pickle.dumps(images))
    assert np.array_equal(np.asarray(again.image(3)), np.asarray(images.image(3)))
    digits = load(check("digits"))
    assert np.array_equal(
        np.asarray(pickle.loads(pickle.dumps(digits)).image(3)), np.asarray(digits.image(3))
    )


def test_a_set_is_summed_up_in_one_line(images, tmp_path):
    write_folder(tmp_path / "set", "val", per_class=2, size=(20, 10))
    (tmp_path / "set" / "val" / "b" / "notes.txt").write_text("")
    parts = images, load(images.source, "validation")
    assert summary(*parts) == (
        f"{tmp_path / 'set'}: train 15 and validation 6 images of 3 classes, 10x20 px; "
        "left out of validation: .txt files (1)"
    )
    other = load(check("digits")).resized(9)
    assert summary(load(check("digits")), other).endswith("images of 10 classes, many sizes")


def test_the_size_of_an_odd_file_is_left_to_those_who_decode_it(tmp_path):
    """Pillow refuses a long compressed text, and not with an OSError."""
    text = PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    for label in "ab":
        for number in range(2):
            path = tmp_path / "train" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7)).save(path, pnginfo=text if (label, number) == ("a", 0) else None)
    assert load(check(str(tmp_path)), "train").pixels == (7, 9)
