import io
import logging
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from timm.data import ImageNetInfo

from nastransfer_nni.data import hub, loading
from nastransfer_nni.data.decode import UnreadableImage, decode
from nastransfer_nni.data.image_set import summary
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.sources import check
from nastransfer_nni.training import protocols
from search_spaces.errors import UserError
from tests.data.made_images import write_folder


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def write_parquet(folder, name="train.parquet", features=None, **columns):
    folder.mkdir(exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / name)
    return str(folder)


def load(name, split="train"):
    return loading.load(check(name), split)


def splits(name):
    return loading.splits(check(name))


GREY = [png(np.full((4, 4), 10 * n, dtype=np.uint8)) for n in range(6)]


def test_digits_have_a_fixed_split():
    train, test = load("digits", "train"), load("digits", "test")
    assert (len(train), len(test), train.pixels) == (1437, 360, (8, 8))
    assert len(np.intersect1d(train.keys, test.keys)) == 0
    assert min(test.counts.values()) >= 34  # a fifth of 174 to 183 scans
    assert train.fingerprint == "f73341a9aa5fcbef"
    image, label = train[0]
    assert image.mode == "RGB" and image.size == (8, 8) and isinstance(label, int)
    brightest = max(np.asarray(train.image(row)).max() for row in range(50))
    assert brightest == 255


def test_split_names_are_found(tmp_path):
    for split in ("training", "valid"):
        write_folder(tmp_path / "set", split)
    assert splits(str(tmp_path / "set")) == ("train", "validation")
    assert len(load(str(tmp_path / "set"), "validation")) == 15
    with pytest.raises(UserError, match="has no test split; it has train, validation"):
        load(str(tmp_path / "set"), "test")
    with pytest.raises(UserError, match="unknown split 'dev'"):
        load(str(tmp_path / "set"), "dev")


def test_a_folder_without_splits_is_all_train(tmp_path):
    write_folder(tmp_path, "photos")
    assert splits(str(tmp_path / "photos")) == ("train",)
    images = load(str(tmp_path / "photos"))
    assert images.classes == ("a10", "a9", "b") and len(images) == 15


def test_classes_are_numbered_naturally_and_words_become_classes(tmp_path):
    name = write_parquet(
        tmp_path / "s",
        image=GREY,
        label=["10", "9", "9", "x", "10", "9"],
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")}),
    )
    images = load(name)
    assert images.classes == ("9", "10", "x")
    assert images.labels.tolist() == [1, 0, 0, 2, 1, 0]
    assert np.asarray(images.image(3)).tolist() == np.full((4, 4, 3), 30).tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": GREY, "b": GREY, "label": list(range(6))}, "several columns could be the images"),
        ({"a": GREY, "u": list(range(6)), "v": list(range(6))}, "several columns could be the labels"),
        ({"a": GREY, "text": ["x"] * 6}, "no column looks like labels"),
        ({"a": GREY, "label": [-1] * 6}, "images without a label"),
    ],
)
def test_ambiguous_or_missing_columns_are_refused(tmp_path, columns, message):
    kinds = {
        n: datasets.Image() if v is GREY else datasets.Value("string" if n == "text" else "int64")
        for n, v in columns.items()
    }
    name = write_parquet(tmp_path / "s", features=datasets.Features(kinds), **columns)
    with pytest.raises(UserError, match=message):
        load(name)


def test_columns_can_be_named(tmp_path):
    kinds = {"a": datasets.Image(), "u": datasets.Value("int64"), "v": datasets.Value("int64")}
    columns = {"a": GREY, "u": list(range(6)), "v": [0, 0, 0, 1, 1, 1]}
    write_parquet(tmp_path / "owner", features=datasets.Features(kinds), **columns)
    name = str(tmp_path / "owner")
    assert load(f"{name}@label=v").counts == {"0": 3, "1": 3}
    with pytest.raises(UserError, match="has no column 'w'; it has a, u, v"):
        load(f"{name}@label=w")


def test_sixteen_bits_and_transparency_become_rgb():
    deep = np.array([[0, 256, 65535]], dtype=np.uint16)
    assert np.asarray(decode(png(deep)["bytes"]))[0, :, 0].tolist() == [0, 1, 255]
    clear = np.dstack([np.full((2, 2, 3), 7, dtype=np.uint8), np.zeros((2, 2), dtype=np.uint8)])
    assert np.asarray(decode(png(clear)["bytes"])).tolist() == np.full((2, 2, 3), 7).tolist()


def test_a_validation_part_without_all_classes_is_said(tmp_path, caplog):
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    write_parquet(tmp_path / "s", features=kinds, image=GREY, label=[0, 1, 2, 0, 1, 2])
    name = write_parquet(tmp_path / "s", "validation.parquet", features=kinds, image=GREY, label=[0, 1] * 3)
    with caplog.at_level(logging.WARNING):
        load(name, "train")
        assert not caplog.records
        load(name, "validation")
    assert "images of only 2 of 3 classes" in caplog.text


def test_imagenet_classes_have_synset_names_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    kinds = {"image": datasets.Image(), "label": datasets.Value("int64")}
    numbered = [{**image, "path": f"n0144{n:04d}_{n}.JPEG"} for n, image in enumerate(GREY)]
    write_parquet(
        tmp_path / "imagenet1k", features=datasets.Features(kinds), image=numbered, label=[0, 1, 0, 999, 5, 5]
    )
    images = load("imagenet1k")
    assert len(images.classes) == 1000 and images.classes[:2] == ("n01440764", "n01443537")
    assert images.labels.tolist() == [0, 1, 0, 999, 5, 5]
    from nastransfer_nni.data.hashing import key_of

    assert images.key(2) == f"{key_of('n01440002_2'):016x}"  # the set's own name, not the content


def test_a_set_that_does_not_fit_the_disk_is_streamed(tmp_path, monkeypatch):
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    name = write_parquet(tmp_path / "s", features=kinds, image=GREY, label=[0, 1] * 3)
    kept = load(name).canonical()
    monkeypatch.setattr(hub, "too_big", lambda size: True)
    streamed = load(name).canonical()
    assert np.array_equal(streamed.keys, kept.keys) and streamed.fingerprint == kept.fingerprint
    with pytest.raises(UserError, match="is streamed"):
        streamed.image(0)
    assert summary(streamed).endswith("train 6 images of 2 classes, streamed")
    few = streamed.select([4, 1]).fetched()
    assert [np.asarray(few.image(row)).max() for row in (0, 1)] == [
        np.asarray(kept.image(row)).max() for row in (4, 1)
    ]


def test_an_interrupted_stream_resumes(tmp_path, monkeypatch):
    from nastransfer_nni.data.stores import stream

    monkeypatch.setattr(stream, "_PART", 2)
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    name = write_parquet(tmp_path / "s", features=kinds, image=GREY, label=[0, 1] * 3) + "@stream=yes"
    seen = []
    real = stream.content_key

    def dies(content):
        seen.append(content)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return real(content)

    monkeypatch.setattr(stream, "content_key", dies)
    with pytest.raises(KeyboardInterrupt):
        load(name)
    seen.clear()
    images = load(name)
    assert len(seen) == 2  # two parts of two were kept
    assert np.array_equal(images.keys, load(str(tmp_path / "s")).keys)


def test_unreadable_images_are_counted_and_named(tmp_path, caplog):
    write_folder(tmp_path / "set")
    (tmp_path / "set" / "train" / "b" / "2.png").write_bytes(b"no image")
    (tmp_path / "set" / "train" / "b" / "3.png").write_bytes(b"")
    images = load(str(tmp_path / "set"))
    with pytest.raises(UnreadableImage, match=r"b/2\.png"):
        images.image(12)
    with pytest.raises(UserError, match=r"2 of 15 images .* cannot be read: b/2.png .*, b/3.png"):
        InMemoryImages.of(images)
    with caplog.at_level(logging.WARNING):
        kept = InMemoryImages.of(images, on_bad_image="skip")
    assert "2 of 15 images" in caplog.text and "b/2.png" in caplog.text
    assert len(kept) == 13 and kept.labels.bincount().tolist() == [5, 5, 3]
    assert np.array_equal(kept.images[12].permute(1, 2, 0).numpy(), np.asarray(images.image(14)))


def test_an_image_too_large_to_decode_is_unreadable(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        decode(png(np.zeros((5, 5), dtype=np.uint8))["bytes"])


def test_a_set_is_opened_once_for_images_and_recipe(tmp_path, monkeypatch):
    write_folder(tmp_path)
    opened, read = [], loading._load
    monkeypatch.setattr(loading, "_load", lambda *which: opened.append(which) or read(*which))
    with loading.opened_once():
        assert protocols.largest_image(load(str(tmp_path)).source) == (12, 10)
        assert len(opened) == 1
    load(str(tmp_path))
    assert len(opened) == 2  # its files may have changed since


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"not a table")
    with pytest.raises(UserError, match=r"train\.parquet is not a Parquet file"):
        load(str(tmp_path))
    saved = tmp_path / "set" / "train"
    saved.mkdir(parents=True)
    for name in ("state.json", "dataset_info.json"):
        (saved / name).write_text("{}")
        with pytest.raises(UserError, match="is not a data set saved by `datasets`"):
            load(str(tmp_path / "set"))


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(UserError, match=r"contains no images: expected train\.parquet"):
        load(str(tmp_path))


@pytest.mark.parametrize(("name", "count", "fingerprint"), [("cifar10", 50000, "0c8e1c26638c3493")])
def test_real_sets_open_from_local_files(real_data, name, count, fingerprint):
    images = load(name)
    assert len(images) == count and set(images.counts.values()) == {count // 10}
    assert images.fingerprint == fingerprint


@pytest.mark.parametrize("form", ["synsets", "numbers", "words"])
def test_classes_of_imagenet_folders_are_known_by_their_names(form, tmp_path, monkeypatch):
    """Folders in the order of texts: 0, 1, 10, 100, ..."""
    monkeypatch.setenv("NASTRANSFER_DATA", str(tmp_path))
    synsets = ImageNetInfo("imagenet-1k").label_names()
    for number, synset in enumerate(synsets):
        name = {"synsets": synset, "numbers": str(number), "words": f"word{number}"}[form]
        path = tmp_path / "imagenet1k" / "train" / name / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(GREY[number % len(GREY)]["bytes"])
    if form == "words":
        with pytest.raises(UserError, match="classes must be named by synsets, as n01440764, or by numbers"):
            load("imagenet1k")
        return
    images = load("imagenet1k")
    assert images.classes == tuple(synsets)
    folders = [Path(images.store.file_name(int(n))).parts[-2] for n in images.numbers]
    names = synsets if form == "synsets" else [*map(str, range(1000))]
    assert [names[label] for label in images.labels] == folders


def test_streamed_images_that_are_files_have_keys_of_their_own(tmp_path):
    write_folder(tmp_path / "set")
    folder = tmp_path / "set" / "train"
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
    streamed, plain = (load(f"{tmp_path / 'set'}{how}") for how in ("@stream=yes", ""))
    assert sorted(streamed.keys.tolist()) == sorted(plain.keys.tolist())
    few = streamed.select([3, 1]).fetched()
    assert few.image(0).size == plain.image(0).size
