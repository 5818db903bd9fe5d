"""The forms in which image files are kept: arrow tables, folders, tar shards, memory.

Every store is small to pickle, since loader workers get a copy of it.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.imageset import Store
from nastransfer_nni.data.keys import cache_folder
from nastransfer_nni.errors import UserError
from nastransfer_nni.files import replacing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def stamp_of(paths: Iterable[str | Path]) -> str:
    """Changes with the name, size or time of any of these files."""
    text = hashlib.sha256()
    for path in paths:
        status = os.stat(path)  # noqa: PTH116 - a million times on large folders
        text.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return text.hexdigest()


class ArrowStore(Store):
    """A column of images in a `datasets.Dataset`: from Parquet, a saved data set or the Hub."""

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
        """Read a folder with a sub-folder of images per class: the store, labels and class names."""
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


@dataclass(frozen=True)
class TarStore(Store):
    """WebDataset shards, read in place: the position of every image is indexed once and cached."""

    shards: Sequence[Path]
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    names: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.shard)

    def encoded(self, number: int) -> bytes:
        with self.shards[self.shard[number]].open("rb") as file:
            return os.pread(file.fileno(), int(self.size[number]), int(self.offset[number]))

    def file_name(self, number: int) -> str:
        return str(self.names[number])

    @property
    def stamp(self) -> str:
        return stamp_of(self.shards)

    @classmethod
    def index(cls, shards: Sequence[Path]) -> tuple[TarStore, npt.NDArray[np.str_]]:
        """Find the images of the shards and their labels: the `.cls` beside an image, else its folder.

        Raises:
            UserError: a shard is no tar file, or an image has neither.
        """
        kept = cache_folder("shards") / f"{stamp_of(shards)[:16]}.npz"
        if not kept.is_file():
            with ThreadPoolExecutor() as pool:
                members = list(pool.map(_members, shards))
            rows = [(number, *row) for number, shard in enumerate(members) for row in shard]
            columns = list(zip(*rows, strict=True)) or [()] * 5
            with replacing(kept) as scratch, scratch.open("wb") as file:
                np.savez_compressed(
                    file,
                    shard=np.array(columns[0], dtype=np.int32),
                    offset=np.array(columns[1], dtype=np.int64),
                    size=np.array(columns[2], dtype=np.int64),
                    names=np.array(columns[3], dtype=np.str_),
                    labels=np.array(columns[4], dtype=np.str_),
                )
        with np.load(kept, allow_pickle=False) as saved:
            store = cls(shards, saved["shard"], saved["offset"], saved["size"], saved["names"])
            return store, saved["labels"]


def _members(shard: Path) -> list[tuple[int, int, str, str]]:
    """(offset, size, name, label) of every image in a shard."""
    images: dict[str, tuple[int, int, str]] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                if f".{suffix.lower()}" in IMAGE_SUFFIXES:
                    images[key] = (member.offset_data, member.size, member.name)
                elif suffix == "cls":
                    content = tar.extractfile(member)
                    assert content is not None, "a .cls member is a file"
                    labels[key] = content.read().decode().strip()
    except tarfile.TarError as error:
        raise UserError(f"{shard} is no uncompressed tar file ({error})") from None
    for key in images:
        label = labels.get(key) or PurePosixPath(key).parent.name
        if not label:
            raise UserError(
                f"{shard}: {images[key][2]} has neither a .cls beside it nor a folder for its class"
            )
        labels[key] = label
    return [(*image, labels[key]) for key, image in images.items()]


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
