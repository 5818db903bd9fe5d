"""Which process of a run this one is, and on which device it computes: read from torchrun's environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed as dist

from nastransfer_nni.base.launch import global_rank, local_rank, world_size
from search_spaces.errors import UserError
from strategies.distributed import DistributedContext

__all__ = ["DistributedContext", "distributed_context", "pick_device"]


def pick_device(name: str) -> torch.device:
    """The device that `--device` names; `auto` is this process's GPU, or the CPU without one.

    Raises:
        UserError: torch knows no such device, or the machine has none.
    """
    if name == "auto":
        return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: {str(error).splitlines()[0]}") from None
    if device.type != "cpu" and device.index is None:
        return torch.device(device.type, local_rank())
    return device


@contextlib.contextmanager
def distributed_context(device: torch.device) -> Iterator[DistributedContext]:
    """Join the processes that torchrun has started, if it has; leave them at the end of the block."""
    size, rank = world_size(), global_rank()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield DistributedContext(device=device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
    try:
        yield DistributedContext(rank, size, device)
    finally:
        dist.destroy_process_group()
