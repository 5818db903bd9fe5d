"""Images in a column of an Arrow table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nastransfer_nni.data.stores.base import Store, stamp_of


class ArrowStore(Store):
    """A column of images in a `datasets.Dataset`, from Parquet files, a saved data set or the Hub."""

    def __init__(self, dataset: Any, column: str) -> None:
        self._dataset = dataset.flatten_indices() if dataset._indices is not None else dataset
        self._column = column

    def __len__(self) -> int:
        return len(self._dataset)

    def _image(self, number: int) -> Any:
        return self._dataset.data.column(self._column)[number]

    def encoded(self, number: int) -> bytes:
        image = self._image(number).as_py()
        if isinstance(image, bytes):
            return image
        if image is None:
            return b""
        return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()

    def file_name(self, number: int) -> str:
        image = self._image(number)
        path = image["path"].as_py() if hasattr(image, "keys") and image.is_valid else None
        return path or ""

    @property
    def stamp(self) -> str:
        files = [file["filename"] for file in self._dataset.cache_files]
        return stamp_of(files) if files else self._dataset._fingerprint
