"""Images in WebDataset shards."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import replacing
from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES, Store, stamp_of
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError


@dataclass(frozen=True)
class TarStore(Store):
    """WebDataset shards, read in place; the position of every image is indexed once and cached.

    Attributes:
        shards: paths of the tar files.
        shard: index in `shards` of each image's file, int32 [N].
        offset: position of each image in its file, in bytes, int64 [N].
        size: size of each image in bytes, int64 [N].
        names: name of each image in its file, str [N].
    """

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
        """Find the images of the shards and their labels.

        Returns:
            The store and the label of each image as a text, str [N]: the content of the image's `.cls`
            member, else the name of its folder.

        Raises:
            UserError: a shard is not a tar file, or an image has neither.
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
        raise UserError(f"{shard} is not an uncompressed tar file ({error})") from None
    for key in images:
        label = labels.get(key) or PurePosixPath(key).parent.name
        if not label:
            raise UserError(f"{shard}: {images[key][2]} has neither a .cls member nor a folder for its class")
        labels[key] = label
    return [(*image, labels[key]) for key, image in images.items()]
