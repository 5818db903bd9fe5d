"""What torchrun tells a process of itself through the environment; nothing heavy is imported."""

from __future__ import annotations

import os
from pathlib import Path


def global_rank() -> int:
    """Number of this process among all that torchrun has started, from 0; 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """Number of this process among those on this machine, from 0; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", 0))


def world_size() -> int:
    """Number of processes that torchrun has started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first_to_report() -> bool:
    """Whether no other process that torchrun has started on this machine has reported an end before.

    All of them meet the same mistake of the user, or the same signal, and one line is enough. The first one
    leaves a mark in torchrun's temporary folder, which torchrun removes.
    """
    error_file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if world_size() == 1 or not error_file:
        return True
    try:
        (Path(error_file).parents[1] / "nastransfer-reported").touch(exist_ok=False)
    except FileExistsError:
        return False
    except (OSError, IndexError):
        return True
    return True
