"""The processes that compute together, and the few collective operations that searching and training need."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

CPU = torch.device("cpu")

AGREEMENT_SECONDS = 1.0
"""Time between two questions of `StopFlag`; after a signal, torchrun waits 30 seconds for its processes."""
MAX_STEPS = 100
"""Steps between two questions of `StopFlag`, at most."""


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

    def all_gather(self, values: Tensor, /) -> list[Tensor]:
        """The `values` of every process, by rank; they have the same shape in each."""
        if self.world_size == 1:
            return [values]
        gathered = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(gathered, values)
        return gathered

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


class StopFlag:
    """Stops all processes at the same step once any of them has been asked to stop.

    A process that is alone stops at once. Several processes ask each other after every n-th step: one sum of
    two numbers, 0.1 ms on two processes of one machine. They choose n by the time that steps take, so that a
    question comes about once a second, and n is the same in each, since they share their times, too.

    Args:
        processes: the processes that stop together.
        is_asked: whether this process has been asked to stop.
    """

    def __init__(self, processes: DistributedContext, is_asked: Callable[[], bool]) -> None:
        self._processes, self._is_asked = processes, is_asked
        self._steps, self._interval, self._since = 0, 1, time.perf_counter()

    def __call__(self) -> bool:
        """Whether to stop now; every process has to call this after each of its steps."""
        if self._processes.world_size == 1:
            return self._is_asked()
        self._steps += 1
        if self._steps < self._interval:
            return False
        seconds = time.perf_counter() - self._since
        sums = torch.tensor([float(self._is_asked()), seconds], device=self._processes.device)
        asked, seconds = self._processes.all_reduce_sum(sums).tolist()
        per_step = max(seconds, 1e-6) / (self._processes.world_size * self._steps)
        self._interval = min(max(int(AGREEMENT_SECONDS / per_step), 1), MAX_STEPS)
        self._steps, self._since = 0, time.perf_counter()
        return asked > 0


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
