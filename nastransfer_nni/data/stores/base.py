"""The interface of all stores."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing

# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jpe", ".jfif",
    ".apng", ".avif", ".dib", ".j2k", ".jp2", ".jpx", ".pbm", ".pcx", ".pnm", ".ras", ".tga",
)
# fmt: on
"""Ends of names of image files, in lower case: those of torchvision, and others that Pillow reads."""


class Store(ABC):
    """Encoded images by number. Stores are pickled into data workers, so they keep paths, not open files.

    Attributes:
        known_keys: key of every image, uint64 [len(store)], if the store has computed them itself.
    """

    known_keys: hashing.Keys | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def encoded(self, number: int) -> bytes:
        """The bytes of the image file."""

    @abstractmethod
    def file_name(self, number: int) -> str:
        """The name of the image in the store; empty if it has none."""

    @property
    @abstractmethod
    def stamp(self) -> str:
        """A text that changes when the stored files change; cached results are stored under it."""

    def fetch(self, numbers: npt.NDArray[np.int64]) -> tuple[Store, npt.NDArray[np.int64]]:
        """Make the images `numbers` (int64 [n]) available on this machine.

        Returns:
            A store that contains them, and their numbers in that store, int64 [n].
        """
        return self, numbers


def stamp_of(paths: Iterable[str | Path]) -> str:
    """A text that changes with the name, size or modification time of any of the files."""
    text = hashlib.sha256()
    for path in paths:
        status = os.stat(path)  # noqa: PTH116 - faster than Path.stat, for a million files
        text.update(
            os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0")
        )  # any bytes may be names
    return text.hexdigest()
