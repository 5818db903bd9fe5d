"""Which parts a folder has: told by exact names, by words, and refused where it could be either."""

import datasets
import pytest

from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import check
from search_spaces.errors import UserError
from tests.data.made_images import encoded, write_images


def load(path, split="train", how=""):
    return loading.load(check(f"{path}{how}"), split)


def splits(path, how=""):
    return loading.splits(check(f"{path}{how}"))


def write_table(file, labels=(0, 1, 0), first=0):
    """A Parquet file of images with these labels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encoded(first + shade), "path": None} for shade in range(len(labels))]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    table = datasets.Dataset.from_dict({"image": images, "label": list(labels)}, features=features)
    table.to_parquet(file)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("train", "val"), ("train", "validation")),
        (("Training", "VALID", "Testing"), ("train", "validation", "test")),
        (("train", "dev", "evaluation"), ("train", "validation", "test")),
        (("train_images", "val_images"), ("train", "validation")),
        (("seg_train", "seg_test"), ("train", "test")),
        (("2017-train", "2017-dev", "2017-test"), ("train", "validation", "test")),
    ],
)
def test_parts_have_the_names_and_classes_of_datasets(names, found, tmp_path):
    for name in names:
        write_images(tmp_path / name, "cat/0.png", "dog/0.png", "dog/1.png")
    assert splits(tmp_path) == found
    for split in found:
        assert load(tmp_path, split).counts == {"cat": 1, "dog": 2}
    if names == tuple(map(str.lower, names)):
        assert tuple(datasets.load_dataset(str(tmp_path))) == found


@pytest.mark.parametrize(
    "names",
    [
        ("bus/0.png", "car/0.png", "train/0.png"),
        ("bus/monday/0.png", "train/monday/0.png"),
        ("test/0.png", "dog/0.png"),
        ("train_images/0.png", "test_images/0.png"),
        ("train_images/a/0.png", "train_images/b/0.png", "extra/a/0.png"),
        (
            "train_station/may/0.png",
            "train_station/june/0.png",
            "test_track/july/0.png",
            "test_track/may/0.png",
        ),
    ],
)
def test_what_could_be_parts_or_classes_is_refused_with_both(names, tmp_path):
    write_images(tmp_path, *names)
    folders = sorted({name.split("/")[0] for name in names})
    for call in (load, splits):
        with pytest.raises(UserError) as error:
            call(tmp_path)
        assert "can be read in two ways" in str(error.value) and "@folders=classes" in str(error.value)
        assert all(folder in str(error.value) for folder in folders) and "split" in str(error.value)
    assert load(tmp_path, how="@folders=classes").classes == tuple(folders)


@pytest.mark.parametrize(
    "names",
    [
        ("test tube/0.png", "dog/0.png"),
        ("crash_test/0.png", "bullet_train/0.png", "dog/0.png"),
        ("strain/0.png", "contest/0.png", "trainer/0.png"),
        ("val thorens/may/0.png", "zermatt/may/0.png"),
    ],
)
def test_words_in_the_names_of_classes_make_no_parts(names, tmp_path):
    write_images(tmp_path, *names)
    assert splits(tmp_path) == ("train",)
    assert set(load(tmp_path).classes) == {name.split("/")[0] for name in names}


def test_other_folders_beside_parts_are_named(tmp_path, caplog):
    write_images(tmp_path, "train/a/0.png", "train/b/0.png", "test/a/0.png", "masks/0.png", "notes/0.txt")
    images = load(tmp_path)
    assert images.counts == {"a": 1, "b": 1} and "masks, which are in no split" in images.left_out
    assert "masks" in caplog.text


def test_two_folders_of_one_part_are_refused(tmp_path):
    write_images(tmp_path, "train/a/0.png", "val/a/0.png", "valid/a/0.png")
    with pytest.raises(UserError, match="both val and valid could be its validation split"):
        load(tmp_path, "validation")


def test_a_set_in_a_folder_of_its_own_is_found(tmp_path):
    write_images(tmp_path / "birds-1.0" / "images", "train/a/0.png", "train/b/0.png", "val/a/0.png")
    assert splits(tmp_path) == ("train", "validation")
    assert load(tmp_path).counts == {"a": 1, "b": 1}
    write_images(tmp_path, "figures/0.png")
    with pytest.raises(UserError, match=r"in two ways"):
        load(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"train": "train.parquet", "test": "test.parquet"},
        {"train": "train-00000-of-00001.parquet", "validation": "valid-00000-of-00001.parquet"},
        {"train": "data/train-00000-of-00001.parquet", "test": "data/test-00000-of-00001.parquet"},
        {"train": "train/0000.parquet", "test": "eval/0000.parquet"},
        {"train": "birds_train.parquet", "validation": "birds_dev.parquet"},
        {"train": "default/train/0000.parquet", "test": "default/test/0000.parquet"},
        {"train": "data/train/part.parquet", "validation": "data/validation/part.parquet"},
        {"train": "images.parquet"},
        {"train": "data/images.parquet"},
    ],
    ids=lambda files: files["train"],
)
def test_parquet_files_are_found_where_datasets_finds_them(files, tmp_path):
    for number, file in enumerate(files.values()):
        write_table(tmp_path / file, labels=(0, 1, 0)[: 3 - number], first=10 * number)
    table = datasets.load_dataset(str(tmp_path))
    assert splits(tmp_path) == tuple(files) == tuple(table)
    for split in files:
        images = load(tmp_path, split)
        assert images.labels.tolist() == table[split]["label"]
        shades = [images.image(row).getpixel((0, 0))[0] for row in range(len(images))]
        assert shades == [image.getpixel((0, 0)) for image in table[split]["image"]]


def test_a_file_of_two_parts_and_files_of_no_part(tmp_path):
    write_table(tmp_path / "train.parquet")
    write_table(tmp_path / "more.parquet")
    assert "more.parquet, which are in no split" in load(tmp_path).left_out
    write_table(tmp_path / "train_val.parquet")
    with pytest.raises(UserError, match=r"train_val\.parquet could be train or validation"):
        load(tmp_path)


@pytest.mark.parametrize("other", ["images.tar", "a/0.png"])
def test_two_storage_forms_side_by_side_are_refused(other, tmp_path):
    write_table(tmp_path / "images.parquet")
    write_images(tmp_path, other, "b/0.png")
    with pytest.raises(UserError, match="in two ways"):
        load(tmp_path)


def test_an_archive_beside_its_folder_is_left_out(tmp_path):
    write_images(tmp_path, "train/a/0.png", "train/b/0.png", "train.tar")
    assert load(tmp_path).counts == {"a": 1, "b": 1}
    assert "train.tar, which are in no split" in load(tmp_path).left_out
