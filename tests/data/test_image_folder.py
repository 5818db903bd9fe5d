"""Class folders: the images and classes of torchvision, timm and `datasets`, and no others."""

import datasets
import pytest
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

from nastransfer_nni.data import loading
from nastransfer_nni.data.class_names import timm_order
from nastransfer_nni.data.image_set import summary
from nastransfer_nni.data.sources import check
from search_spaces.errors import UserError
from tests.data.made_images import encoded, write_images

FOLDERS = {
    "plain": ("cat/0.jpg", "cat/1.png", "dog/0.jpeg"),
    "numbers": tuple(f"{label}/{number}.png" for label in range(1, 12) for number in range(2)),
    "case": ("Zebra/0.png", "apple/0.PNG", "Bear/0.JPG", "crab/1.png"),
    "signs": ("a-b/0.png", "a b/0.png", "ä/0.png", "日本/0.png", "1.5/0.png"),
    "names": ("test tube/0.png", "crash_test/0.png", "bullet train/a.b.png", "dog/1.png"),
}


def load(path, split="train", how=""):
    return loading.load(check(f"{path}{how}"), split)


@pytest.mark.parametrize("names", FOLDERS.values(), ids=FOLDERS)
def test_torchvision_timm_and_datasets_find_the_same_classes_and_images(names, tmp_path):
    write_images(tmp_path, *names)
    ours = load(tmp_path)
    of_class = {ours.describe(row): ours.classes[ours.labels[row]] for row in range(len(ours))}
    theirs = ImageFolder(tmp_path)
    assert ours.classes == tuple(theirs.classes)
    assert [(str(tmp_path / name), ours.classes.index(of_class[name])) for name in of_class] == theirs.samples
    timm = create_dataset("", root=str(tmp_path), is_training=True)
    assert timm_order(ours.classes) == tuple(timm.reader.class_to_idx)
    number = timm.reader.class_to_idx
    assert {name: number[found] for name, found in of_class.items()} == {
        name: timm.reader.samples[row][1] for row, name in enumerate(timm.filenames())
    }
    if any(word in str(names) for word in ("test", "train")):
        return  # `datasets` takes these class folders for parts
    table = datasets.load_dataset(str(tmp_path), split="train")
    assert tuple(table.features["label"].names) == ours.classes
    assert sorted(table["label"]) == sorted(ours.labels.tolist())


def test_every_part_has_the_classes_of_datasets(tmp_path):
    write_images(tmp_path, "train/b/0.png", "train/a/0.png", "val/a/1.png", "val/b/1.png", "test/a/2.png")
    table = datasets.load_dataset(str(tmp_path))
    assert loading.splits(check(str(tmp_path))) == tuple(table) == ("train", "validation", "test")
    for split in table:
        assert len(load(tmp_path, split)) == len(table[split])
        assert set(load(tmp_path, split).classes) <= set(table[split].features["label"].names)


def test_timm_leaves_some_orders_open():
    assert timm_order(["b10", "B9", "a"]) == ("a", "B9", "b10")
    for names in (["a", "A"], ["x1", "x01"]):
        with pytest.raises(UserError, match="timm does not number the classes"):
            timm_order(names)


def test_what_is_no_image_is_left_out_and_said(tmp_path, caplog):
    write_images(tmp_path / "train", "a/0.png", "a/1.jfif", "a/more/2.PNG", "b/0.png", "top.png")
    write_images(
        tmp_path / "train",
        "a/.ipynb_checkpoints/0-checkpoint.png",
        "b/._0.png",
        "__MACOSX/a/0.png",
        "a/@eaDir/0.png",
        "empty/notes/.keep.png",
    )
    (tmp_path / "train" / "b" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "train" / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    images = load(tmp_path)
    assert images.counts == {"a": 3, "b": 1}
    for text in (
        ".db files (1)",
        "@eaDir (1)",
        "__MACOSX (1)",
        "broken links (1)",
        "folders without images: empty (1)",
        "hidden files and folders (3)",
        "images outside the class folders (1)",
    ):
        assert text in images.left_out and text in summary(images) and text in caplog.text
    load(tmp_path)
    assert caplog.text.count("left out") == 1, "once is enough"


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    write_images(tmp_path / "train", "a/0.png", "b/0.png", "b/1.png")
    write_images(tmp_path / "store", "2.png", "deep/3.png")
    (tmp_path / "train" / "b" / "more").symlink_to(tmp_path / "store")
    (tmp_path / "train" / "b" / "again").symlink_to(tmp_path / "train")
    (tmp_path / "store" / "back").symlink_to(tmp_path / "store")
    images = load(tmp_path)
    assert images.counts == {"a": 1, "b": 4}
    assert "links to a folder around them (2)" in images.left_out


@pytest.mark.parametrize("names", [("train/0.png", "val/0.png"), ("0.png",)])
def test_images_without_class_folders_are_refused_with_advice(names, tmp_path):
    write_images(tmp_path, *names)
    with pytest.raises(UserError, match=r"has 1 images but no class folders: put each .* metadata\.csv"):
        load(tmp_path)


def test_a_flat_validation_part_does_not_hide_the_training_part(tmp_path):
    write_images(tmp_path, "train/a/0.png", "train/b/0.png", "val/0.png", "val/1.png")
    assert load(tmp_path).counts == {"a": 1, "b": 1}
    with pytest.raises(UserError, match=r"val has 2 images but no class folders"):
        load(tmp_path, "validation")


def test_a_hierarchy_of_folders_is_read_only_when_told_how(tmp_path):
    write_images(
        tmp_path, "animals/cat/0.png", "animals/dog/0.png", "vehicles/car/0.png", "vehicles/bus/0.png"
    )
    with pytest.raises(
        UserError, match=r"in two ways: classes are animals, vehicles .* bus, car, cat, \.\.\. "
    ):
        load(tmp_path)
    assert load(tmp_path, how="@level=outer").counts == {"animals": 2, "vehicles": 2}
    assert load(tmp_path, how="@level=inner").counts == {"bus": 1, "car": 1, "cat": 1, "dog": 1}
    with pytest.raises(UserError, match="level=inner"):
        check(f"{tmp_path}@level=middle")


@pytest.mark.parametrize(
    "names",
    [
        ("a/monday/0.png", "a/tuesday/0.png", "b/monday/0.png", "b/tuesday/0.png"),  # days are no classes
        ("a/images/0.png", "b/images/0.png", "b/images/1.png"),  # the layout of Tiny ImageNet
        ("a/0.png", "b/x/0.png", "b/y/0.png"),
    ],
)
def test_folders_inside_classes_are_no_classes(names, tmp_path):
    assert load(write_images(tmp_path, *names)).classes == ("a", "b")


@pytest.mark.parametrize("around", ["train", "images", "archive/data"])
def test_folders_around_all_classes_are_passed_through(around, tmp_path):
    write_images(tmp_path / "train" / around, "cat/0.png", "dog/0.png")
    write_images(tmp_path / "test" / around, "cat/0.png", "dog/0.png", "dog/1.png")
    assert load(tmp_path).counts == {"cat": 1, "dog": 1}
    assert load(tmp_path, "test").counts == {"cat": 1, "dog": 2}


@pytest.mark.parametrize("pair", [("caf\u00e9", "cafe\u0301"), ("cat", "cat ")])
def test_classes_that_look_alike_are_refused(pair, tmp_path):
    write_images(tmp_path, *(f"{name}/0.png" for name in pair))
    with pytest.raises(UserError, match="look alike"):
        load(tmp_path)


def test_names_of_any_bytes_are_read_but_make_no_class(tmp_path):
    write_images(tmp_path, "a/0.png", "b/0.png", "b/caf\udce9.png")
    assert load(tmp_path).counts == {"a": 1, "b": 2} and len(load(tmp_path).fingerprint) == 16
    write_images(tmp_path, "caf\udce9/0.png")
    with pytest.raises(UserError, match="is not UTF-8"):
        load(tmp_path)
    write_images(tmp_path / "lines", "a/0.png", "b\nc/0.png")
    with pytest.raises(UserError, match="control characters") as error:
        load(tmp_path / "lines")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_opened_is_an_unreadable_image(tmp_path):
    write_images(tmp_path, "a/0.png", "a/1.png", "b/0.png")
    images = load(tmp_path)
    (tmp_path / "a" / "1.png").unlink()
    (tmp_path / "a" / "1.png").mkdir()
    assert len(images.store.names) == 3
    from nastransfer_nni.data.memory import InMemoryImages

    with pytest.raises(UserError, match=r"1 of 3 images .* cannot be read: a/1\.png"):
        InMemoryImages.of(images)
    assert len(set(images.keys.tolist())) == 3


def test_all_kinds_of_image_files_are_found(tmp_path):
    for form, suffix in (("JPEG", "jfif"), ("JPEG", "JPE"), ("BMP", "dib"), ("PPM", "pnm"), ("TGA", "tga")):
        write_images(tmp_path, f"a/0.{suffix}")
        (tmp_path / "a" / f"0.{suffix}").write_bytes(encoded(9, form))
    write_images(tmp_path, "b/0.png")
    images = load(tmp_path)
    assert images.counts == {"a": 5, "b": 1}
    assert {images.image(row).getpixel((0, 0)) for row in range(5)} == {(9, 9, 9)}
