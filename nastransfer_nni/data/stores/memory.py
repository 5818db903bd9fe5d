"""Encoded images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from nastransfer_nni.data.stores.base import Store


@dataclass(frozen=True)
class MemoryStore(Store):
    """Encoded images in memory."""

    contents: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.contents)

    def encoded(self, number: int) -> bytes:
        return self.contents[number]

    def file_name(self, number: int) -> str:
        return ""

    @property
    def stamp(self) -> str:
        return hashlib.sha256(b"".join(self.contents)).hexdigest()
