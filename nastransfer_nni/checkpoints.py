"""Checkpoints: written whole or not at all, read without unpickling objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.errors import UserError
from nastransfer_nni.files import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dicts of them) to `path`, atomically."""
    with replacing(path) as scratch:
        torch.save(state, scratch)


def load(path: Path) -> dict[str, Any] | None:
    """Read what `save` wrote, onto the CPU; None where there is no file.

    Raises:
        UserError: the file is not such a checkpoint.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise UserError(f"{path} is not a checkpoint: {str(error).splitlines()[0]}") from None
    return state
