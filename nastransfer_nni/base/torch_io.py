"""Files of tensors: written atomically, read without unpickling objects."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.base.files import replacing
from search_spaces.errors import UserError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dicts of them) to `path`, atomically.

    Raises:
        OSError: the disk is full; the previous file is left as it was.
    """
    with replacing(path) as scratch:
        try:
            torch.save(state, scratch)
        except RuntimeError as error:  # what torch's writer raises when the disk is full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def load(path: Path) -> dict[str, Any] | None:
    """Read what `save` has written, onto the CPU; None where there is no file.

    Raises:
        UserError: the file is not such a checkpoint.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many types for a file that is not its own, or cut off, with long texts
        raise UserError(
            f"{path} is not a checkpoint, or is damaged; where it is that of a run, --overwrite starts anew"
        ) from None
    return state
