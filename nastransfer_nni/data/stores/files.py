"""Image files in one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES, Store, stamp_of


@dataclass(frozen=True)
class FileStore(Store):
    """Image files under a folder."""

    root: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, number: int) -> bytes:
        return (self.root / self.names[number]).read_bytes()

    def file_name(self, number: int) -> str:
        return self.names[number]

    @property
    def stamp(self) -> str:
        return stamp_of(self.root / name for name in self.names)

    @classmethod
    def scan(cls, root: Path) -> tuple[FileStore, npt.NDArray[np.int64], tuple[str, ...]]:
        """Find the images in a folder with one sub-folder per class.

        Returns:
            The store, labels int64 [N] and class names in label order.
        """
        classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
        names: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            found = [
                path.relative_to(root).as_posix()
                for path in (root / name).rglob("*")
                if path.suffix.lower() in IMAGE_SUFFIXES
            ]
            names += sorted(found)
            labels += [label] * len(found)
        return cls(root, names), np.array(labels, dtype=np.int64), tuple(classes)
