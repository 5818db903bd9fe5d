"""Ordinary `torch.utils.data.DataLoader`s as the batches of a search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from search_spaces import AbstractGenotype
from search_spaces.errors import UserError
from strategies.interfaces import Batches, Tables


class LoaderBatches:
    """A DataLoader of (images, labels) as `Batches`.

    An epoch's order is the same in every run where the loader has a `generator`, which is then seeded for
    each epoch, or a sampler with `set_epoch`. Without either, a resumed search sees other orders.

    Args:
        loader: yields images float [B, 3, H, W] and labels int64 [B]; has a batch size.
        device: device to which batches are moved.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        if loader.batch_size is None:
            raise UserError("a search needs a DataLoader with a batch_size")
        self.batch_size = loader.batch_size
        self._loader, self._device = loader, device
        self._seed = loader.generator.initial_seed() if loader.generator is not None else 0

    @property
    def samples(self) -> int:
        """Images per epoch."""
        count = len(self._loader.sampler)  # type: ignore[arg-type]
        return count - count % self.batch_size if self._loader.drop_last else count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        if self._loader.generator is not None:
            self._loader.generator.manual_seed(self._seed + epoch)
        if hasattr(self._loader.sampler, "set_epoch"):
            self._loader.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self._loader:
            yield images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)


def as_batches(batches: Batches | DataLoader[Any], device: torch.device) -> Batches:
    """A DataLoader as `Batches`; other batches are returned as they are."""
    return LoaderBatches(batches, device) if isinstance(batches, DataLoader) else batches


class SilentRecorder:
    """A recorder that keeps nothing; NNI still gets the accuracy of every epoch."""

    def expect(self, total: int | None) -> None:
        """Ignore the number of epochs."""

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Ignore metrics."""

    def record(self, epoch: int, genotype: AbstractGenotype, mixture: Tables, top1: float) -> None:
        """Ignore the genotype of an epoch."""

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Ignore progress within an epoch."""
