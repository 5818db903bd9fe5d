"""The candidates that a search has scored, one JSON line each: a killed search resumes from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nastransfer_nni.base import files
from search_spaces.errors import UserError


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
        text = path.read_text("utf-8", errors="replace") if path.exists() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        self._entries = [_entry(path, number, line) for number, line in enumerate(lines, 1)]
        if is_written and "".join(lines) != text:
            files.write_text(path, "".join(lines))

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


def _entry(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise UserError(f"{path}, line {number} is damaged; --overwrite starts the search anew")
    return entry
