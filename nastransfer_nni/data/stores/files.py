"""Image files in folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nastransfer_nni.data.stores.base import Store, stamp_of


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
