"""Every form in which people have an architecture is read, and what can be read two ways is refused."""

import json

import pytest

from nastransfer_nni.architecture.file import read
from search_spaces.errors import UserError
from search_spaces.zoo import zoo

DARTS, OTHER = zoo()["DARTS_V2"].genotype, zoo()["GDAS_V1"].genotype


def test_the_text_itself_is_an_architecture():
    found = read(str(DARTS))
    assert (found.genotype, found.name, found.text) == (DARTS, "genotype", str(DARTS))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_files_of_any_editor_are_read(encoding, form, tmp_path):
    content = str(DARTS) if form == "text" else json.dumps(DARTS.to_dict())
    (tmp_path / "cell.txt").write_bytes(content.encode(encoding))
    assert read(str(tmp_path / "cell.txt")).genotype == DARTS


def test_a_list_of_samples_is_one_architecture_or_refused(tmp_path):
    file = tmp_path / "exported.json"
    file.write_text(json.dumps([DARTS.to_sample(), DARTS.to_sample()]))
    assert read(str(file)).genotype == DARTS
    file.write_text(json.dumps([DARTS.to_sample(), OTHER.to_sample()]))
    with pytest.raises(UserError, match="holds 2 different architectures"):
        read(str(file))


@pytest.mark.parametrize("name", ["a" * 300, "DARTS_V3", "~nobody-of-that-name/x", "a\0b", "x" * 5000])
def test_what_is_no_file_is_an_unknown_architecture(name):
    with pytest.raises(UserError, match="unknown architecture"):
        read(name)
