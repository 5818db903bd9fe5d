"""Tables of images: one image and one class for every row, or a line that says what is in the way."""

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import check
from search_spaces.errors import UserError
from tests.data.made_images import encoded, write_images

IMAGES = [{"bytes": encoded(shade), "path": None} for shade in range(4)]


def load(path, how=""):
    return loading.load(check(f"{path}{how}"), "train")


def write(path, images=IMAGES, name="train.parquet", **columns):
    """A Parquet file with columns of Arrow arrays; that of the images is called `image`."""
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    parquet.write_table(pyarrow.table({"image": pyarrow.array(images, kind), **columns}), path / name)
    return path


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pyarrow.array([10, 9, 9, 2]), ("2", "9", "10")),
        (pyarrow.array([1, 0, 0, 1], pyarrow.uint8()), ("0", "1")),
        (pyarrow.array(["b10", "b9", "a", "b9"]), ("a", "b9", "b10")),
        (pyarrow.array(["b", "a", "b", "a"], pyarrow.large_string()), ("a", "b")),
        (pyarrow.array(["1", "01", "1", "01"]), ("01", "1")),
        (pyarrow.array([True, False, True, False]), ("False", "True")),
        (pyarrow.array(["x", "y", "x", "y"]).dictionary_encode(), ("x", "y")),
    ],
)
def test_whole_numbers_and_words_are_classes(labels, classes, tmp_path):
    images = load(write(tmp_path, label=labels))
    assert images.classes == classes
    assert [images.classes[label] for label in images.labels] == [str(value) for value in labels.to_pylist()]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pyarrow.array([0, None, 1, None]), r"without a label \(2 of 4\)"),
        (pyarrow.array(["a", None, "b", "a"]), r"without a label \(1 of 4\)"),
        (pyarrow.array(["a", "", "b", "a"]), r"without a label \(1 of 4\)"),
        (pyarrow.array([0, -1, 1, 0]), r"without a label \(1 of 4\)"),
        (pyarrow.array([True, None, True, False]), r"without a label \(1 of 4\)"),
        (pyarrow.array([0.5, 1.25, 2.0, 0.5]), "'label' holds fractional numbers; a label is one word"),
        (pyarrow.array([0.0, 1.0, float("nan"), 0.0]), "'label' holds fractional numbers"),
        (pyarrow.array([[0], [1, 2], [], [0]]), "'label' holds lists; a label is one word"),
        (pyarrow.array([{"a": 1}] * 4), "'label' holds .*; a label is one word"),
        (pyarrow.array([b"a", b"b", b"a", b"b"]), "'label' holds .*; a label is one word|several columns"),
        (pyarrow.array(["cat", "cat ", "dog", "dog"]), "look alike"),
    ],
)
@pytest.mark.parametrize("how", ["", "@stream=yes"])
def test_what_is_no_class_is_refused_in_one_line(labels, message, how, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        load(write(tmp_path, label=labels), how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("labels", [[0, 1, None, 1], [0, 1, 2, 1]])
def test_numbers_without_a_class_name_are_refused(labels, tmp_path):
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    table = pyarrow.table({"image": pyarrow.array(IMAGES, kind), "label": pyarrow.array(labels)})
    parquet.write_table(
        table.replace_schema_metadata(kinds.arrow_schema.metadata), tmp_path / "train.parquet"
    )
    with pytest.raises(UserError, match=r"without a label|has the label 2, but only 2 classes"):
        load(tmp_path)


def test_a_column_that_differs_for_every_image_is_not_taken_for_the_label(tmp_path):
    write(tmp_path, number=pyarrow.array([4, 5, 6, 7]))
    with pytest.raises(UserError, match="'number' differs for every image; name the column"):
        load(tmp_path)
    assert len(load(tmp_path, "@label=number").classes) == 4


def test_paths_are_images_if_the_column_is_named(tmp_path):
    write_images(tmp_path, "photos/0.png", "photos/1.png")
    labels, paths = pyarrow.array([0, 1, 0]), ["photos/0.png", "photos/1.png", "photos/gone.png"]
    parquet.write_table(pyarrow.table({"path": paths, "label": labels}), tmp_path / "train.parquet")
    with pytest.raises(UserError, match=r"no column looks like images .* or of paths of images as in"):
        load(tmp_path)
    images = load(tmp_path, "@image=path")
    assert [images.image(row).getpixel((0, 0))[0] for row in range(2)] == [0, 1]
    assert images.describe(2) == "photos/gone.png" and len(set(images.keys.tolist())) == 3
    with pytest.raises(UserError, match=r"'label' holds .*, not images"):
        load(tmp_path, "@image=label")


def test_missing_images_are_unreadable_and_not_a_traceback(tmp_path):
    from nastransfer_nni.data.memory import InMemoryImages

    without = [IMAGES[0], None, {"bytes": None, "path": None}, {"bytes": None, "path": "gone.png"}]
    images = load(write(tmp_path, without, label=pyarrow.array([0, 1, 0, 1])))
    with pytest.raises(UserError, match=r"3 of 4 images .* cannot be read"):
        InMemoryImages.of(images, (4, 4))
    assert len(images.keys) == 4


def test_keys_follow_the_column_of_images(tmp_path):
    kinds = {"left": datasets.Image(), "right": datasets.Image(), "label": datasets.Value("int64")}
    columns = {"left": IMAGES, "right": IMAGES[::-1], "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(columns, datasets.Features(kinds)).to_parquet(tmp_path / "train.parquet")
    left, right = (load(tmp_path, f"@image={name}") for name in ("left", "right"))
    assert left.keys.tolist() == right.keys.tolist()[::-1] and left.keys[0] != left.keys[3]
    with pytest.raises(UserError, match="several columns could be the images"):
        load(tmp_path)


def test_fingerprints_are_those_of_version_0_1(tmp_path):
    write(tmp_path, label=pyarrow.array(["b", "a", "b", "a"]))
    assert load(tmp_path).fingerprint == "a4066e7b744de31b"


def test_keys_follow_the_column_of_paths_and_the_files(tmp_path):
    write_images(tmp_path, "photos/0.png", "photos/1.png", "photos/2.png")
    columns = {"left": ["photos/0.png", "photos/1.png"], "right": ["photos/1.png", "photos/2.png"]}
    columns |= {"label": [0, 1]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    left, right = (load(tmp_path, f"@image={name}").keys.tolist() for name in ("left", "right"))
    assert left != right
    (tmp_path / "photos" / "0.png").write_bytes(encoded(200))
    assert load(tmp_path, "@image=left").keys.tolist() != left
