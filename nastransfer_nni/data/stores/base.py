"""What all stores have in common."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class Store(ABC):
    """Encoded images by number. It is pickled into data workers, so it holds paths rather than open files.

    Attributes:
        known_keys: key of every image, uint64 [len(store)], where the store has computed them itself.
    """

    known_keys: hashing.Keys | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def encoded(self, number: int) -> bytes:
        """The bytes of the image file."""

    @abstractmethod
    def file_name(self, number: int) -> str:
        """The name that the image has in the store; empty where it has none."""

    @property
    @abstractmethod
    def stamp(self) -> str:
        """Changes when the stored files change: caches are kept under it."""

    def fetch(self, numbers: npt.NDArray[np.int64]) -> tuple[Store, npt.NDArray[np.int64]]:
        """Bring these images to this machine: a store that has them, and the number there of each."""
        return self, numbers


def stamp_of(paths: Iterable[str | Path]) -> str:
    """Changes with the name, size or time of any of these files."""
    text = hashlib.sha256()
    for path in paths:
        status = os.stat(path)  # noqa: PTH116 - a million times on large folders
        text.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return text.hexdigest()
