"""Batches of in-memory images, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nastransfer_nni.data import hashing
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.memory import InMemoryImages


class BatchLoader:
    """Iterates over (images float32 [B, 3, H, W], labels int64 [B]) on `device`.

    The order of an epoch and every batch's augmentation depend on the seed, the epoch and the batch's number
    alone: a run that resumes at an epoch sees what it would have seen.

    Args:
        images: the set; kept on `device` where that is not the CPU.
        batch_size: images of a batch, on this rank.
        augmentation: applied to every batch, on `device`.
        seed: of order and augmentation.
        shuffle: whether an epoch has an order of its own.
        drop_last: whether an incomplete last batch is left out.
        device: where batches are made.
        rank: with `world_size`, this process's share of each epoch: every world_size-th image.
        world_size: number of processes. Shares of a shuffled epoch are equally long, the rest is left out;
            shares of an unshuffled one cover every image once.
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
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        assert batch_size > 0, "a batch has images"
        self.batch_size = batch_size
        self._device = torch.device(device)
        self._images = images.images.to(self._device)
        self._labels = images.labels.to(self._device)
        self._augmentation = augmentation
        self._seed, self._shuffle, self._drop_last = seed, shuffle, drop_last
        self._rank, self._world_size = rank, world_size
        self._epoch, self._start = 0, 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and the batch that it starts with."""
        self._epoch, self._start = epoch, start

    @property
    def samples(self) -> int:
        """Images of an epoch on this rank."""
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
        """The rows in the set of the images of one batch of the epoch."""
        return torch.split(self._rows(), self.batch_size)[number].tolist()

    def _rows(self) -> Tensor:
        rows = torch.arange(len(self._labels))
        if self._shuffle:
            rows = torch.randperm(len(rows), generator=self._generator("order"))
        return rows[self._rank :: self._world_size][: self.samples]

    def _generator(self, *purpose: object) -> torch.Generator:
        return torch.Generator().manual_seed(hashing.number(self._seed, self._epoch, *purpose))
