"""Files that users wrote or killed processes left: what is read, and what is refused."""

import os

import pytest

from nastransfer_nni.base import reading
from search_spaces.errors import UserError

ALIASES = "a: &a [b,b,b,b,b,b,b,b,b,b]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-02-31", {"a": "2024-02-31"}),
        ("at: 2024-02-28", {"at": "2024-02-28"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: [1, 1.5, yes, null, text]", {"a": [1, 1.5, True, None, "text"]}),
    ],
)
def test_yaml_is_read_as_plain_values(text, value):
    assert reading.parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("a: 1\na: 2", "'a' is there twice"),
        ("&a [*a]", "holds itself"),
        ("a: &a {b: *a}", "holds itself"),
        (ALIASES, "stands for more than"),
        ("[" * 3000, "nested too deeply"),
        ("1" * 5000, "not YAML"),
        ("!!bool x", "not YAML"),
        ("!!timestamp x", "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        ("a: !!binary aGVsbG8=", "neither text, number, list nor object"),
        ("a: !!set {b}", "neither text, number, list nor object"),
        ('"\\ud800"', "surrogate"),
    ],
)
def test_bad_yaml_is_refused_with_the_reason(text, message):
    with pytest.raises(UserError, match=message):
        reading.parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested too deeply"),
        ("1" * 5000, "thousands of digits"),
        ('"\\ud800"', "surrogate"),
    ],
)
def test_bad_json_is_refused_with_the_reason(text, message):
    with pytest.raises(UserError, match=message):
        reading.parse_json(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_the_encodings_that_editors_write(encoding, tmp_path):
    (tmp_path / "file").write_bytes("Réseau".encode(encoding))
    assert reading.read_text(tmp_path / "file") == "Réseau"


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "latin").write_bytes(b"R\xe9seau")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        tmp_path / "latin": "not a text file",
        tmp_path / "none": "No such file",
        tmp_path / "loop": "symbolic links",
        tmp_path / "pipe": "not a regular file",
        tmp_path: "is a folder",
        "a" * 300: "File name too long",
        "~/" + "a" * 300: "File name too long",
        "a\0b": "null byte",
        "~nobody-of-that-name/x": "no such home folder",
    }.items():
        with pytest.raises(UserError, match=message):
            reading.read_text(name)
    with pytest.raises(UserError, match="larger than 3 bytes"):
        reading.read_text(tmp_path / "latin", max_bytes=3)


def test_paths_that_the_system_refuses_do_not_exist(tmp_path):
    assert reading.exists(tmp_path)
    assert not any(map(reading.exists, ["a" * 300, "a\0b", tmp_path / "none", "~nobody-of-that-name"]))


def test_records_are_read_without_a_last_line_that_is_incomplete(tmp_path):
    file = tmp_path / "lines"
    assert reading.read_records(file) == []
    file.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert reading.read_records(file) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\n[2]\n')
    with pytest.raises(UserError, match="line 2 is damaged; --overwrite"):
        reading.read_records(file)
