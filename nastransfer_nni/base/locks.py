"""Locks that are files; the system releases them when the process dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from search_spaces.errors import UserError

__all__ = ["Timeout", "locked"]


@contextlib.contextmanager
def locked(file: Path, *, timeout: float = -1) -> Iterator[None]:
    """Hold the lock `file` for the block; one that another process holds is waited for.

    Args:
        file: the lock, made where it is missing.
        timeout: seconds to wait; -1: as long as it takes.

    Raises:
        Timeout: another process still holds it.
        UserError: the file system has no locks.
    """
    try:
        held = FileLock(file).acquire(timeout=timeout)
    except NotImplementedError:  # what filelock raises there
        raise UserError(
            f"{file.parent} is on a file system without locks (flock); use a folder on another one"
        ) from None
    with held:
        yield
