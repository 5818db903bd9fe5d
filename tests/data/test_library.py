"""What `datasets.load_dataset(folder)` reads is read with the same classes and counts."""

import json
import zipfile

import datasets
import pytest

from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import check
from search_spaces.errors import UserError
from tests.data.made_images import encoded, write_images
from tests.data.test_layout import write_table


def load(path, split="train", how=""):
    return loading.load(check(f"{path}{how}"), split)


def rows(images):
    return sorted(
        (images.image(row).getpixel((0, 0))[0], images.classes[images.labels[row]])
        for row in range(len(images))
    )


def write_metadata(folder, labels, suffix="csv", label="label"):
    """Images 0.png, 1.png, ... and a metadata file with their labels."""
    write_images(folder, *(f"{number}.png" for number in range(len(labels))))
    pairs = [(f"{number}.png", value) for number, value in enumerate(labels)]
    if suffix == "csv":
        lines = [f"file_name,{label}", *(f"{name},{value}" for name, value in pairs)]
    else:
        lines = [json.dumps({"file_name": name, label: value}) for name, value in pairs]
    (folder / f"metadata.{suffix}").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("labels", [("cat", "dog", "cat"), (3, 10, 3)])
def test_metadata_files_have_the_labels(suffix, labels, tmp_path):
    for part in ("train", "test"):
        write_metadata(tmp_path / part, labels, suffix)
    table = datasets.load_dataset(str(tmp_path))
    assert loading.splits(check(str(tmp_path))) == tuple(table) == ("train", "test")
    for split in table:
        assert [name for _, name in rows(load(tmp_path, split))] == list(map(str, table[split]["label"]))
    assert [shade for shade, _ in rows(load(tmp_path))] == [0, 1, 2]


def test_metadata_of_a_set_without_parts_and_with_other_names(tmp_path):
    write_metadata(tmp_path, (1, 0, 1), label="kind")
    assert load(tmp_path).counts == {"0": 1, "1": 2}
    write_metadata(tmp_path / "b", ("x", "y", "x"), label="species")
    with pytest.raises(UserError, match=r"no column looks like labels \(it has image, species\)"):
        load(tmp_path / "b")
    assert load(tmp_path / "b", how="@label=species").classes == ("x", "y")


def test_metadata_without_labels_or_without_file_names_leaves_class_folders_alone(tmp_path):
    for name, text in (
        ("a", "file_name,caption\ncat/0.png,a cat\n"),
        ("b", "id,width\n1,4\n"),
        ("c", "\0\n"),
    ):
        write_images(tmp_path / name / "train", "cat/0.png", "dog/0.png")
        (tmp_path / name / "train" / "metadata.csv").write_text(text)
        assert load(tmp_path / name).counts == {"cat": 1, "dog": 1}


def test_metadata_that_contradicts_the_class_folders_is_refused(tmp_path):
    write_images(tmp_path / "train", "cat/0.png", "dog/0.png", "dog/1.png")
    same = "file_name,label\ncat/0.png,cat\ndog/0.png,dog\ndog/1.png,dog\n"
    (tmp_path / "train" / "metadata.csv").write_text(same)
    assert load(tmp_path).counts == {"cat": 1, "dog": 2}
    (tmp_path / "train" / "metadata.csv").write_text(same.replace(",cat", ",1").replace(",dog", ",0"))
    with pytest.raises(UserError, match=r"in two ways: by its files metadata\.csv .* by its folders"):
        load(tmp_path)
    assert load(tmp_path, how="@label=label").counts == {"0": 2, "1": 1}


@pytest.mark.parametrize(
    "text", ["file_name,label\n0.png,\n1.png,a\n", "file_name,label\n0.png,0.5\n1.png,1.5\n"]
)
def test_metadata_with_missing_labels_or_targets_is_refused(text, tmp_path):
    write_images(tmp_path, "0.png", "1.png")
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(UserError, match=r"without a label|fractional numbers"):
        load(tmp_path)


CARD = """---
configs:
- config_name: small
  data_files:
  - split: train
    path: a/*.parquet
  - split: test
    path: b.parquet
- config_name: large
  data_files: c.parquet
---
# Birds
"""


def test_a_card_names_the_files_of_configurations_and_splits(tmp_path):
    for number, name in enumerate(("a/0", "a/1", "b", "c")):
        write_table(tmp_path / f"{name}.parquet", first=10 * number)
    (tmp_path / "README.md").write_text(CARD)
    with pytest.raises(UserError, match=r"has the configurations small, large: .* @config=small"):
        load(tmp_path)
    for config in ("small", "large"):
        table = datasets.load_dataset(str(tmp_path), config)
        how = f"@config={config}"
        assert loading.splits(check(f"{tmp_path}{how}")) == tuple(table)
        for split in table:
            shades = [image.getpixel((0, 0)) for image in table[split]["image"]]
            assert [shade for shade, _ in rows(load(tmp_path, split, how))] == sorted(shades)


def test_a_card_that_names_missing_files_is_not_in_the_way(tmp_path, caplog):
    write_table(tmp_path / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(CARD)
    assert load(tmp_path).counts == {"0": 2, "1": 1}
    assert "its files are read without it" in caplog.text


def test_a_card_about_other_things_is_not_read(tmp_path):
    write_table(tmp_path / "train.parquet")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nconfigs: none\n")
    assert load(tmp_path).counts == {"0": 2, "1": 1}


def test_class_names_of_a_card_are_those_of_the_set(tmp_path):
    write_table(tmp_path / "train.parquet")
    names = "{names: {'0': cat, '1': dog}}"
    features = f"[{{name: image, dtype: image}}, {{name: label, dtype: {{class_label: {names}}}}}]"
    (tmp_path / "README.md").write_text(f"---\ndataset_info: {{features: {features}}}\n---\n")
    table = datasets.load_dataset(str(tmp_path), split="train")
    assert load(tmp_path).classes == tuple(table.features["label"].names) == ("cat", "dog")


def test_archives_with_metadata_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", encoded(number))
        archive.writestr("metadata.csv", "file_name,label\n0.png,cat\n1.png,dog\n2.png,dog\n")
    assert rows(load(tmp_path)) == [(0, "cat"), (1, "dog"), (2, "dog")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", b"a,b\n1,2\n"),
        ("data.jsonl", b"{not json}\n"),
        ("data.arrow", b"no arrow"),
        ("notes.txt", b"hello"),
        ("README.md", b"---\nconfigs: [1, {]\n---\n"),
        ("metadata.jsonl", b"\xff\xfe\x00"),
    ],
)
def test_folders_of_other_things_end_in_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)
