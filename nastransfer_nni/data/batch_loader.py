"""Batches of images in memory, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nastransfer_nni.data import hashing
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.memory import InMemoryImages


class BatchLoader:
    """Iterates over images float32 [B, 3, H, W] and labels int64 [B] on `device`.

    The order of an epoch and the augmentation of a batch depend only on the seed, the epoch and the number of
    the batch, so a run that resumes sees the same batches.

    Args:
        images: the images; they are kept on `device`.
        batch_size: images per batch, in this process.
        augmentation: augmentation of every batch, computed on `device`.
        seed: random seed of order and augmentation.
        shuffle: whether to shuffle the images anew in every epoch.
        drop_last: whether to drop an incomplete last batch.
        repeats: how often an image of a shuffled epoch comes, each time augmented anew; the epoch stays as
            long, and has the fewer images.
        device: device of the batches.
        rank: number of this process; it gets every `world_size`-th image, from image `rank` on.
        world_size: number of processes. With `shuffle` all get equally many images, and a remainder is left
            out of the epoch; without, every image belongs to exactly one process.

    Attributes:
        batch_size: images per batch, in this process.
        unreadable: names of images that were left out of the set, since they cannot be decoded.
    """

    def __init__(
        self,
        images: InMemoryImages,
        batch_size: int,
        augmentation: Augmentation,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        repeats: int = 1,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        assert batch_size > 0, "a batch must have images"
        self.batch_size, self.unreadable = batch_size, images.unreadable
        self._device = torch.device(device)
        self._images = images.images.to(self._device)
        self._labels = images.labels.to(self._device)
        self._augmentation = augmentation
        self._seed, self._shuffle, self._drop_last = seed, shuffle, drop_last
        self._rank, self._world_size, self._repeats = rank, world_size, max(repeats, 1)
        self._epoch, self._start = 0, 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and its first batch."""
        self._epoch, self._start = epoch, start

    @property
    def samples(self) -> int:
        """Images per epoch, in this process."""
        total = len(self._labels)
        if self._shuffle:
            total -= total % self._world_size
        mine = len(range(self._rank, total, self._world_size))
        return mine - mine % self.batch_size if self._drop_last else mine

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = torch.split(self._rows().to(self._device), self.batch_size)
        for number, chosen in enumerate(batches[self._start :], self._start):
            generator = self._generator("batch", number)
            images = self._augmentation(self._images[chosen], generator, self._rank, self._world_size)
            yield images, self._labels[chosen]

    def rows(self, number: int) -> list[int]:
        """Rows, in the image set, of the images in batch `number` of the epoch."""
        return torch.split(self._rows(), self.batch_size)[number].tolist()

    def _rows(self) -> Tensor:
        rows = torch.arange(len(self._labels))
        if self._shuffle:
            rows = torch.randperm(len(rows), generator=self._generator("order"))
            rows = rows.repeat_interleave(self._repeats)[: len(rows)]
        return rows[self._rank :: self._world_size][: self.samples]

    def _generator(self, *purpose: object) -> torch.Generator:
        return torch.Generator().manual_seed(hashing.number(self._seed, self._epoch, *purpose))
