"""Images in a column of an Arrow table."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from nastransfer_nni.data.stores.base import Store, stamp_of


class ArrowStore(Store):
    """A column of images, or of paths of images, in a `datasets.Dataset`.

    Args:
        dataset: the table, from Parquet files, a saved data set or the Hub.
        column: name of the column.
        root: folder that relative paths refer to.
    """

    def __init__(self, dataset: Any, column: str, root: Path | None = None) -> None:
        self._dataset = dataset.flatten_indices() if dataset._indices is not None else dataset
        self._column = column
        self._root = root or Path()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getstate__(self) -> dict[str, Any]:
        """Without the chunks, which would be copied; the data set itself is pickled as its files' names."""
        return {name: value for name, value in self.__dict__.items() if name != "_chunks"}

    @cached_property
    def _chunks(self) -> tuple[list[int], list[dict[str, Any]]]:
        """Where each chunk of the column ends, and its `bytes` and `path`; to ask the table takes longer."""
        chunks = self._dataset.data.column(self._column).chunks
        return list(accumulate(map(len, chunks))), [_fields(chunk) for chunk in chunks]

    def _value(self, number: int, field: str) -> Any:
        """The `bytes` or the `path` of an image; None where it has none."""
        ends, chunks = self._chunks
        index = bisect_right(ends, number)
        values = chunks[index].get(field)
        return None if values is None else values[number - ends[index]].as_py()  # counted from the end

    def encoded(self, number: int) -> bytes:
        content: bytes | None = self._value(number, "bytes")
        if content is not None:
            return content
        path = self._value(number, "path")
        if path and "://" in path:  # inside an archive
            from datasets.utils.file_utils import xopen

            with xopen(path, "rb") as file:
                return file.read()
        return (self._root / path).read_bytes() if path else b""

    def file_name(self, number: int) -> str:
        return self._value(number, "path") or ""

    @property
    def stamp(self) -> str:
        files = [file["filename"] for file in self._dataset.cache_files]
        stamp = stamp_of(files) if files else self._dataset._fingerprint
        if self._has_paths:
            return f"{stamp}:{self._column}:{self._stamp_of_files()}"
        kinds = [str(kind) for kind in self._dataset.data.schema.types]
        others = sum("binary" in kind or "struct" in kind for kind in kinds) > 1
        return f"{stamp}:{self._column}" if others else stamp

    @property
    def _has_paths(self) -> bool:
        """Whether the column names files, which the table knows nothing of."""
        return "string" in str(self._dataset.data.schema.field(self._column).type).partition("<")[0]

    def _stamp_of_files(self) -> str:
        """Text that changes when one of the named files does."""
        text = hashlib.sha256()
        for number in range(len(self)):
            path = self._root / self.file_name(number)
            try:
                status = path.stat()
                seen = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:
                seen = "missing"
            text.update(os.fsencode(f"{path}\0{seen}\0"))
        return text.hexdigest()[:16]


def _fields(chunk: Any) -> dict[str, Any]:
    """The arrays of a chunk by what they hold: `bytes`, `path`, or both."""
    if str(chunk.type).startswith("struct"):
        names = [chunk.type.field(index).name for index in range(chunk.type.num_fields)]
        return dict(zip(names, chunk.flatten(), strict=True))
    return {"path" if "string" in str(chunk.type) else "bytes": chunk}
