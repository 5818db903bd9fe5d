"""The processes that compute together, and the few collective operations that searching and training need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

CPU = torch.device("cpu")


@dataclass(frozen=True)
class DistributedContext:
    """This process among those of a run; all of them make the same calls in the same order.

    Without arguments it is a run's only process, on the CPU.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
        device: device on which this process computes.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def all_reduce_sum(self, values: Tensor, /) -> Tensor:
        """Sum `values` over all processes, in place, and return them: the same to the last bit in each."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def any(self, happened: bool) -> bool:
        """Whether something happened in any process."""
        if self.world_size == 1:
            return happened
        return bool(self.all_reduce_sum(torch.tensor(float(happened), device=self.device)) > 0)

    @contextlib.contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Let the main process run the block before the others, which then find its work done."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            dist.barrier()


def all_reduce_mean(tensors: Sequence[Tensor | None], processes: DistributedContext) -> list[Tensor | None]:
    """The means of tensors over all processes, in one collective operation; None stays None.

    Where each process has the gradients of an equal share of a batch, the means are the gradients of the
    whole batch. The tensors themselves are left as they are.
    """
    if processes.world_size == 1:
        return list(tensors)
    given = [tensor for tensor in tensors if tensor is not None]
    flat = torch.cat([tensor.reshape(-1) for tensor in given]) / processes.world_size
    parts = iter(torch.split(processes.all_reduce_sum(flat), [tensor.numel() for tensor in given]))
    return [None if tensor is None else next(parts).view(tensor.shape) for tensor in tensors]
