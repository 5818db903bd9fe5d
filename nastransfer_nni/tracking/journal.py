"""The candidates that a search has scored, one JSON line each: a killed search resumes from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nastransfer_nni.base import files
from nastransfer_nni.base.reading import read_records, whole_lines


class FileJournal:
    """A list of entries in a file, which survives the process.

    Args:
        path: the file; a last line that a killed process left incomplete is dropped.
        is_written: whether this process writes; of several that search together, one does.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path, is_written: bool = True) -> None:
        self._path, self._is_written = path.absolute(), is_written
        self._entries = read_records(path)
        if is_written and path.exists() and not path.read_bytes().endswith(b"\n"):
            files.write_text(path, "".join(whole_lines(path)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._entries)

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; when this returns it is on the disk."""
        if self._is_written:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self._entries.append(entry)
