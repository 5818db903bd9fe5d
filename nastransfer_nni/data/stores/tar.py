"""Images in WebDataset shards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.stores.base import Store, stamp_of


@dataclass(frozen=True)
class TarStore(Store):
    """WebDataset shards, read in place.

    Attributes:
        shards: paths of the tar files.
        shard: index in `shards` of each image's file, int32 [N].
        offset: position of each image in its file, in bytes, int64 [N].
        size: size of each image in bytes, int64 [N].
        names: name of each image in its file, str [N].
        choice: extension of the images, where one was asked for.
    """

    shards: Sequence[Path]
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    names: npt.NDArray[np.str_]
    choice: str = ""

    def __len__(self) -> int:
        return len(self.shard)

    def encoded(self, number: int) -> bytes:
        with self.shards[self.shard[number]].open("rb") as file:
            return os.pread(file.fileno(), int(self.size[number]), int(self.offset[number]))

    def file_name(self, number: int) -> str:
        return str(self.names[number])

    @property
    def stamp(self) -> str:
        return stamp_of(self.shards) + self.choice
