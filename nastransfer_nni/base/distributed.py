"""Which process of a run this one is, and on which device it computes: read from torchrun's environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed as dist

from nastransfer_nni.base.launch import global_rank, local_rank, world_size
from search_spaces.errors import UserError
from strategies.distributed import DistributedContext, StopFlag

__all__ = ["DistributedContext", "ProcessLost", "StopFlag", "distributed_context", "pick_device"]


class ProcessLost(UserError):
    """Another process of the run has ended, so this one cannot go on."""


def pick_device(name: str) -> torch.device:
    """The device that `--device` names; `auto` is this process's GPU, or the CPU without one.

    Raises:
        UserError: torch knows no such device, or the machine has none.
    """
    if name == "auto":
        gpus = torch.cuda.device_count()
        if local_rank() >= gpus > 0:
            raise UserError(f"process {local_rank() + 1} of this machine finds no GPU: it has {gpus}")
        return torch.device("cuda", local_rank()) if gpus else torch.device("cpu")
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
    """Join the processes that torchrun has started, if it has; leave them at the end of the block.

    Raises:
        ProcessLost: another process ended while this one was waiting for it.
        UserError: the processes cannot be joined.
    """
    size, rank = world_size(), global_rank()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield DistributedContext(device=device)
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"process {rank} cannot join the {size} of this run: {_first_line(error)}") from None
    try:
        yield DistributedContext(rank, size, device)
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(
            "another process of this run has ended; what was saved before is intact, and the same command "
            "resumes from there"
        ) from None
    finally:
        dist.destroy_process_group()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
