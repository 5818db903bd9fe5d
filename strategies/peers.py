"""The processes that search together, and what they agree on: means of gradients, sums of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Peers(Protocol):
    """The processes that share every batch of a search; all of them make the same calls in the same order."""

    @property
    def size(self) -> int:
        """How many there are."""

    def sum(self, values: Tensor, /) -> Tensor:
        """The sum of `values` over all of them, the same to the last bit in each."""


class Alone:
    """The only process of a search."""

    size = 1

    def sum(self, values: Tensor, /) -> Tensor:
        """Its own values."""
        return values


def means(tensors: Sequence[Tensor | None], peers: Peers) -> list[Tensor | None]:
    """The means of tensors over all processes, in one collective operation; None stays None.

    Of the gradients of a batch's equal shares, they are the gradients of the whole batch.
    """
    if peers.size == 1:
        return list(tensors)
    there = [tensor for tensor in tensors if tensor is not None]
    flat = peers.sum(torch.cat([tensor.reshape(-1) for tensor in there]) / peers.size)
    parts = iter(torch.split(flat, [tensor.numel() for tensor in there]))
    return [None if tensor is None else next(parts).view(tensor.shape) for tensor in tensors]
