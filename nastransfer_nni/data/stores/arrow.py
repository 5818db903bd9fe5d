"""Images in a column of an Arrow table."""

from __future__ import annotations

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

    def _image(self, number: int) -> Any:
        return self._dataset.data.column(self._column)[number]

    def encoded(self, number: int) -> bytes:
        image = self._image(number).as_py()
        if isinstance(image, bytes):
            return image
        if isinstance(image, dict):
            if image.get("bytes") is not None:
                return image["bytes"]
            image = image.get("path")
        if image and "://" in image:  # inside an archive
            from datasets.utils.file_utils import xopen

            with xopen(image, "rb") as file:
                return file.read()
        return (self._root / image).read_bytes() if image else b""

    def file_name(self, number: int) -> str:
        image = self._image(number)
        if not image.is_valid:
            return ""
        if hasattr(image, "keys"):
            return image["path"].as_py() or ""
        return image.as_py() if "string" in str(image.type) else ""

    @property
    def stamp(self) -> str:
        files = [file["filename"] for file in self._dataset.cache_files]
        stamp = stamp_of(files) if files else self._dataset._fingerprint
        kinds = [str(kind) for kind in self._dataset.data.schema.types]
        others = sum("binary" in kind or "struct" in kind for kind in kinds) > 1
        return f"{stamp}:{self._column}" if others else stamp
