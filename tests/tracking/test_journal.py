"""The journal of a search: complete lines survive, an incomplete one is dropped, a damaged one is named."""

import pytest

from nastransfer_nni.tracking.journal import FileJournal
from search_spaces.errors import UserError


def test_entries_survive_and_an_incomplete_line_does_not(tmp_path):
    path = tmp_path / "candidates.jsonl"
    journal = FileJournal(path)
    journal.append({"candidate": 0})
    journal.append({"candidate": 1})
    with path.open("a") as file:
        file.write('{"candi')
    again = FileJournal(path)
    assert list(again) == [{"candidate": 0}, {"candidate": 1}]
    assert path.read_text() == '{"candidate": 0}\n{"candidate": 1}\n'


def test_a_process_that_does_not_write_changes_nothing(tmp_path):
    path = tmp_path / "candidates.jsonl"
    path.write_text('{"candidate": 0}\n{"cand')
    journal = FileJournal(path, is_written=False)
    journal.append({"candidate": 1})
    assert len(list(journal)) == 2
    assert path.read_text() == '{"candidate": 0}\n{"cand'


@pytest.mark.parametrize("line", ["[]\n", "{\n", "\x00\x00\n", "[" * 100_000 + "\n"])
def test_a_damaged_line_is_named(line, tmp_path):
    path = tmp_path / "candidates.jsonl"
    path.write_text('{"candidate": 0}\n' + line)
    with pytest.raises(UserError, match=r"line 2 is damaged"):
        FileJournal(path)
