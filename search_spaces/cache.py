"""The folder in which computed things are kept from one run to the next."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

_logger = logging.getLogger(__name__)


def cache_folder(purpose: str, *, is_private: bool = False) -> Path:
    """Folder for cached files of one purpose, created where it is missing.

    Args:
        purpose: name of the sub-folder, such as `kernels` or `scores`.
        is_private: whether the folder is for code, which only this user may be able to write.

    Returns:
        `$NASTRANSFER_CACHE/<purpose>`, by default `~/.cache/nastransfer/<purpose>` (or below
        `$XDG_CACHE_HOME`); one in the folder for temporary files where that cannot be written, or is not
        private and has to be, which is said once.
    """
    named = os.environ.get("NASTRANSFER_CACHE")
    root = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "nastransfer"
    return _usable(_expanded(root) / purpose, is_private)


def _expanded(path: Path) -> Path:
    """The path without `~`; a process without a home folder, as in some containers, has a temporary one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return _temporary() / path.name


_warn_once = functools.cache(_logger.warning)


def _usable(folder: Path, is_private: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700 if is_private else 0o777)
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
    if not problem and is_private and not is_own(folder):
        problem = "may be written by other users (chmod 700 mends it)"
    if not problem:
        return folder
    replacement = _temporary() / folder.name
    replacement.mkdir(mode=0o700, exist_ok=True)
    _warn_once("the cache %s %s; %s is used instead", folder, problem, replacement)
    return replacement


def is_own(path: Path) -> bool:
    """Whether `path` is a file or folder, not a link, that this user owns and no other may write."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(status.st_mode) or not hasattr(os, "geteuid"):
        return not stat.S_ISLNK(status.st_mode)
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _temporary() -> Path:
    """A private folder among the temporary files: that of earlier runs, or a new one if it is not ours."""
    folder = (
        Path(tempfile.gettempdir()) / f"nastransfer-{os.geteuid() if hasattr(os, 'geteuid') else 'cache'}"
    )
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder if is_own(folder) else Path(tempfile.mkdtemp(prefix="nastransfer-"))
