"""Several processes: who this one is, and the few collective operations that training needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from nastransfer_nni.errors import UserError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """This process among those of a run.

    Attributes:
        rank: its number.
        size: how many there are.
        device: where it computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any(self, happened: bool) -> bool:
        """Whether something happened in any process."""
        if self.size == 1:
            return happened
        return bool(self.sum(torch.tensor(float(happened), device=self.device)) > 0)

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process do something before the others, which find it done."""
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.size > 1:
            dist.barrier()


def pick_device(name: str) -> torch.device:
    """The device that `--device` names; `auto` is this process's GPU, or the CPU without one.

    Raises:
        UserError: torch knows no such device, or the machine has none.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if name == "auto":
        return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from None
    if device.type != "cpu" and device.index is None:
        return torch.device(device.type, local_rank)
    return device


@contextlib.contextmanager
def world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun has started, if it has."""
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(device=device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()
