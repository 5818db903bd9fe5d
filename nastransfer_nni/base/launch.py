"""What torchrun tells a process of itself through the environment; nothing heavy is imported."""

from __future__ import annotations

import os


def global_rank() -> int:
    """Number of this process among all that torchrun has started, from 0; 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """Number of this process among those on this machine, from 0; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", 0))


def world_size() -> int:
    """Number of processes that torchrun has started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))
