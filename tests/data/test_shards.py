"""WebDataset shards: the samples of the `webdataset` package, with one image and one label for each."""

import io
import tarfile

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from nastransfer_nni.data import loading, shards
from nastransfer_nni.data.sources import check
from search_spaces.errors import UserError
from tests.data.made_images import encoded


def write_shard(path, members):
    """A tar file of (name, content) in this order; an image's content is made of a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            data = encoded(content) if isinstance(content, int) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(*keys, first=0, image="jpg", label="cls"):
    """Members of samples with an image and a label, which is the last letter of the key."""
    return [
        member
        for shade, key in enumerate(keys, first)
        for member in ((f"{key}.{image}", shade), (f"{key}.{label}", key[-1]))
    ]


def load(path, how="", split="train"):
    return loading.load(check(f"{path}{how}"), split)


def of_webdataset(path):
    """Image, label and key of every sample as the `webdataset` package reads them."""
    found = webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)
    return [(sample["jpg"], sample["cls"].decode(), sample["__key__"]) for sample in found if "jpg" in sample]


@pytest.mark.parametrize(
    "members",
    {
        "plain": samples("0a", "1b"),
        "dots before the names": samples("./0a", "./1b"),
        "a folder with dots": samples("part.a/0a", "part.b/1b"),
        "upper case": samples("0a", "1b", image="JPG", label="CLS"),
        "other members": [*samples("0a", "1b"), ("1b.txt", "a bird"), ("1b.json", "{}")],
        "hidden files": [("._0a.jpg", "x"), *samples("0a"), ("d/._0a.jpg", "x"), *samples("d/1b")],
        "metadata": [("__index__.json", "{}"), *samples("0a", "1b"), ("__meta__/a.jpg", "x")],
        "no extension": [("README", "x"), *samples("0a", "1b")],
        "a key again": [*samples("0a", "1b"), *samples("0a")],
    }.items(),
    ids=lambda case: case[0],
)
def test_samples_are_those_of_webdataset(members, tmp_path):
    path = write_shard(tmp_path / "train-0.tar", members[1])
    images = load(tmp_path)
    ours = [(images.store.encoded(row), images.classes[images.labels[row]]) for row in range(len(images))]
    assert sorted(ours) == sorted(sample[:2] for sample in of_webdataset(path))


NAMES = st.from_regex(r"(\./|[a-c.]{1,3}/){0,2}[ab_.]{0,3}(\.(jpg|cls|JPG|txt|seg\.jpg))?", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_keys_and_extensions_are_those_of_webdataset(name):
    key, extension = webdataset.tariterators.base_plus_ext(name)
    expected = None if key is None else (key, extension.lower())
    assert shards.key_and_extension(name) == expected


def test_members_of_a_sample_may_lie_apart(tmp_path):
    paired = samples("0a", "1b", "2a")
    write_shard(tmp_path / "train-0.tar", paired[::2] + paired[1::2])
    assert load(tmp_path).counts == {"a": 2, "b": 1}
    write_shard(tmp_path / "train-1.tar", samples("0b"))  # keys count within a shard
    assert load(tmp_path).counts == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("members", "how", "message"),
    [
        ([*samples("0a", "1b"), ("2a.jpg", 1)], "", r"1 of 3 images have no \.cls .*2a\.jpg among them"),
        ([*samples("0a", "1b"), ("2a.jpg", 1), ("2a.cls", " ")], "", r"1 of 3 images have no \.cls"),
        (samples("a", "b", label="cls.txt"), "", r"2 of 2 images .* add @label=cls\.txt to"),
        (samples("d/a", "e/b", label="json"), "", r"add @label=json\.FIELD or @label=folder to"),
        (samples("d/a", "d/b", label="txt"), "", r"add @label=txt to"),
        ([("d/a.jpg", 1), ("d/b.jpg", 2)], "", r"2 of 2 images have no \.cls member with a label"),
        ([("d/a.jpg", 1), ("b.jpg", 2)], "@label=folder", r"have no folder of its own class"),
        ([*samples("0a"), ("0a.png", 5)], "", r"'0a' has several images \(jpg, png\): add @image=jpg"),
        ([("1.5.jpg", 1), ("1.6.jpg", 1)], "", r"'1' has several images \(5\.jpg, 6\.jpg\)"),
        ([*samples("0a"), ("0a.jpg", 5)], "", r"0a\.jpg is there twice"),
        ([*samples("0a", "1b"), ("0a.cls", "b")], "", r"'0a' is there twice, once without an image"),
        (samples("a", "b", label="json"), "@label=json.kind", r"a\.json is not JSON"),
        ([("a.jpg", 1), ("a.json", '{"label": [1, 2]}')], "@label=json", "neither a word nor a whole number"),
        ([("a.jpg", 1), ("a.json", '{"x": 1, "y": 2}')], "@label=json", r"has the fields x, y: name one"),
    ],
)  # fmt: skip
def test_samples_without_one_image_and_one_label_are_refused(members, how, message, tmp_path):
    write_shard(tmp_path / "train-0.tar", members)
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, how)
    assert "\n" not in str(error.value)


def test_members_can_be_named(tmp_path):
    masked = [*samples("0a"), ("0a.png", 200), *samples("1b", first=1), ("1b.png", 201)]
    write_shard(tmp_path / "mask" / "train-0.tar", masked)
    photographs, masks = (load(tmp_path / "mask", f"@image={name}") for name in ("jpg", "png"))
    assert [photographs.image(row).getpixel((0, 0))[0] for row in range(2)] == [0, 1]
    assert [masks.image(row).getpixel((0, 0))[0] for row in range(2)] == [200, 201]
    assert not set(photographs.keys) & set(masks.keys), "keys are not mixed up in the cache"
    assert ".png images beside the image of their sample (2)" in photographs.left_out
    assert len(load(tmp_path / "mask", "@image=webp;jpg")) == 2
    json = [
        ("0.jpg", 1),
        ("0.json", '{"label": {"id": 7}, "w": 2}'),
        ("1.jpg", 2),
        ("1.json", '{"label": 8}'),
    ]
    write_shard(tmp_path / "json" / "train-0.tar", json[:2])
    assert load(tmp_path / "json", "@label=json.label.id").classes == ("7",)
    write_shard(tmp_path / "json" / "train-0.tar", [("1.jpg", 2), ("1.json", '{"label": 8}')])
    assert load(tmp_path / "json", "@label=json").classes == ("8",)


def test_an_image_without_a_second_dot_is_the_image(tmp_path):
    write_shard(tmp_path / "train-0.tar", [*samples("0a"), ("0a.seg.png", 9), *samples("1b", first=1)])
    assert [load(tmp_path).image(row).getpixel((0, 0))[0] for row in range(2)] == [0, 1]


def test_folders_are_classes_where_there_is_nothing_else(tmp_path):
    write_shard(tmp_path / "train-0.tar", [("cat/0.jpg", 0), ("./dog/1.JPEG", 1), ("x/dog/2.png", 2)])
    assert load(tmp_path).counts == {"cat": 1, "dog": 2}


def test_samples_without_an_image_are_counted(tmp_path):
    write_shard(tmp_path / "train-0.tar", [*samples("0a", "1b"), ("2a.cls", "a"), ("LICENSE", "x")])
    images = load(tmp_path)
    assert len(images) == 2
    assert "samples without an image (1)" in images.left_out
    assert "members that are hidden or without an extension (1)" in images.left_out


def test_a_shard_that_is_cut_anywhere_is_refused(tmp_path):
    whole = write_shard(tmp_path / "whole.tar", samples("0a", "1b", "2a")).read_bytes()
    content = len(whole.rstrip(b"\0"))
    end = -(-content // 512) * 512 + 1024
    for place in sorted({*range(0, end, 512), *range(1, end, 331), end - 1}):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "train-0.tar").write_bytes(whole[:place])
        with pytest.raises(UserError, match="cut short"):
            load(folder)
    (tmp_path / "train-0.tar").write_bytes(whole[:end])  # only the padding after the closing blocks is gone
    (tmp_path / "whole.tar").unlink()
    assert len(load(tmp_path)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole + whole, "more content behind its closing blocks"),
        (lambda whole: whole[:1024] + b"x" * 512 + whole[1536:], "cut short"),
        (lambda whole: b"\x1f\x8b" + whole, "is compressed"),
        (lambda whole: b"no tar file at all" * 100, "is not a whole tar file"),
        (lambda whole: b"", "is not a whole tar file"),
    ],
)
def test_files_that_are_no_whole_tar_are_refused(change, message, tmp_path):
    path = write_shard(tmp_path / "train-0.tar", [("0a.cls", "a"), ("0a.jpg", 3)])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_compressed_shards_are_named(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar.gz", "w:gz"):
        pass
    with pytest.raises(UserError, match=r"train-0\.tar\.gz is compressed"):
        load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_end_in_an_error_of_the_user_or_in_images(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = bytearray(write_shard(folder / "train-0.tar", samples("0a", "1b")).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, 4096))] = data.draw(st.integers(0, 255))
    (folder / "train-0.tar").write_bytes(whole)
    try:
        assert len(load(folder)) <= 2
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("length", [0, 40, -30])
def test_damaged_files_of_the_cache_are_made_again(length, tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "cache"))
    write_shard(tmp_path / "set" / "train-0.tar", samples("0a", "1b"))
    fingerprint = load(tmp_path / "set").fingerprint
    kept = [path for path in (tmp_path / "cache").rglob("*.np?") if path.is_file()]
    assert len(kept) == 2, "the index and the keys"
    for path in kept:
        path.write_bytes(path.read_bytes()[:length])
    assert load(tmp_path / "set").fingerprint == fingerprint
