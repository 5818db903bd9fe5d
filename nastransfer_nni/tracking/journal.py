"""The candidates that a search has scored, one JSON line each: what a killed search goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nastransfer_nni.base import files


class FileJournal:
    """A list of entries that lies in a file and survives the process.

    Args:
        path: the file; half a line that a killed process left at its end is dropped.
        is_kept: whether this process writes; of several that search together, one does.
    """

    def __init__(self, path: Path, is_kept: bool = True) -> None:
        self._path, self._is_kept = path.absolute(), is_kept
        text = path.read_text("utf-8") if path.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if is_kept and "".join(whole) != text:
            files.write_text(path, "".join(whole))
        self._entries: list[dict[str, Any]] = [json.loads(line) for line in whole]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._entries)

    def append(self, entry: dict[str, Any]) -> None:
        """Keep an entry; when this returns it is on the disk."""
        if self._is_kept:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self._entries.append(entry)
