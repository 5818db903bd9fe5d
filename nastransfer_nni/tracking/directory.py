"""The folder of a run: which of its entries are ours, how it is locked, how it is emptied.

The promise: whatever the options, and whichever mistake, kill or `--overwrite` comes in between, a file or
folder that no run has written is never changed and never removed. A folder counts as a run's by its mark, the
`format` in config.yaml, and only the entries listed here are removed from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from nastransfer_nni.base import locks
from nastransfer_nni.base.files import SCRATCH_MARK
from nastransfer_nni.base.reading import parse_yaml, read_object, read_text
from search_spaces.errors import UserError

FORMAT, VERSION = "nastransfer-run", 2
TRACKERS = "trackers.json"
"""Ids of the run in services such as MLflow."""
ENTRIES = (
    "config.yaml",
    "status.json",
    "summary.json",
    "metrics.jsonl",
    "architecture.json",
    "architectures.jsonl",
    "candidates.jsonl",
    "cell.svg",
    "cell_normal.svg",
    "cell_reduce.svg",
    "proxy.json",
    "proxy.images.parquet",
    "checkpoints/last.pt",
    "checkpoints/best.pt",
    "checkpoints/epoch-*.pt",
    "checkpoints/search.pt",
    "checkpoints/supernet:[0-9]*.pt",
    "front/[0-9][0-9]*.json",
    "tensorboard/events.out.tfevents.*",
    "values.jsonl",
    "rank.md",
    "rank.csv",
    "cells.csv",
    "pareto.svg",
    "pareto.png",
    TRACKERS,
    "wandb",
    "nni",
)
"""All that a run writes into its folder; config.yaml, the mark, is the first to be removed."""
FOLDERS = ("checkpoints", "front", "tensorboard")
"""Folders of a run that go only once nothing else is left in them."""

LOCK = ".nastransfer-lock"
REMOVING = ".nastransfer-removing"
"""Marks a folder whose run is being removed: whoever opens the folder next removes the rest."""

ORPHAN_SECONDS = 15.0
"""Time that the data workers of a killed run have to notice and to release its lock; they take up to five."""
LOOK_SECONDS = 0.2
"""Time for others to end a look at the lock, which takes them far less."""

Status = Literal["running", "completed", "failed", "interrupted"]


def read_config(path: Path) -> dict[str, Any] | None:
    """Content of config.yaml in the folder `path`; None where there is none that a run has written."""
    try:
        config = parse_yaml(read_text(path / "config.yaml"))
    except UserError:
        return None
    parts = {"command": str, "options": dict, "compared": list, "continued": list}
    if not isinstance(config, dict) or not {"command", "options"} <= set(config):
        return None
    if not all(isinstance(config.get(name, kind()), kind) for name, kind in parts.items()):
        return None
    if not all(isinstance(name, str) for name in [*config["options"], *config.get("compared", [])]):
        return None
    is_of_version_1 = {"command", "compared", "versions", "command_line"} <= set(config)
    return config if config.get("format") == FORMAT or is_of_version_1 else None


def require_usable(path: Path) -> None:
    """Refuse a file, and a folder with visible entries that is not a run's.

    Raises:
        UserError: names the first such entry.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path} is a file; it must be a folder")
    if not path.is_dir() or (path / REMOVING).exists() or read_config(path) is not None:
        return
    others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    was_run = (path / LOCK).exists()
    if was_run and "config.yaml" in others:
        raise UserError(
            f"--out {path} holds a run whose config.yaml is damaged; remove the folder, or name a new one"
        )
    if was_run and set(others) <= set(FOLDERS):  # a run was removed, and these hold something else
        return
    if others:
        raise UserError(f"--out {path} holds other files ({others[0]}, ...); name a new folder")


def clear(path: Path) -> None:
    """Remove what a run has written into its folder.

    If the process is killed meanwhile, whoever opens the folder next removes the rest.
    """
    mark = path / REMOVING
    mark.touch()
    for link in (path / name for name in FOLDERS if (path / name).is_symlink()):
        link.unlink()
    for entry in itertools.chain.from_iterable(map(path.glob, ENTRIES)):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    remove_scratch_files(path)
    for folder in (path / name for name in FOLDERS):
        with contextlib.suppress(OSError):  # it is missing, or something else has been put there
            folder.rmdir()
    mark.unlink()


def remove_scratch_files(path: Path) -> None:
    """Remove files that a killed process of this run was writing."""
    for folder in (path, path / "checkpoints"):
        for scratch in folder.glob(f".*{SCRATCH_MARK}*"):
            scratch.unlink()


def remove(path: Path, made: list[Path]) -> None:
    """Remove what a run has written, and the folders `made` for it, innermost first, that are then empty."""
    clear(path)
    (path / LOCK).unlink(missing_ok=True)
    for folder in made:
        with contextlib.suppress(OSError):  # something else has been put there
            folder.rmdir()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when the process dies.

    Raises:
        UserError: another process holds it, or the file system has no locks.
    """
    holder = _status(path)
    host, pid = holder.get("host"), holder.get("pid")
    is_dead = host == socket.gethostname() and isinstance(pid, int) and not _is_alive(pid)
    try:
        with locks.locked(path / LOCK, timeout=ORPHAN_SECONDS if is_dead else LOOK_SECONDS):
            yield
    except locks.Timeout:
        raise UserError(f"{path} is in use by another run (process {pid} on {host})") from None


def read_status(path: Path) -> Status | None:
    """Status of the run in the folder `path`; None where there is none.

    A run whose process died before it could write its status counts as interrupted, and so does one whose
    status.json is damaged.
    """
    if not (path / "status.json").is_file():
        return None
    status = _status(path).get("status")
    if status == "running":
        return "running" if _is_held(path / LOCK) else "interrupted"
    return status if status in ("completed", "failed") else "interrupted"


def _is_held(lock: Path) -> bool:
    """Whether a run holds its lock; who looks needs no right to write, and is in the way of no other look."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is held, or this process may not read it, and has to take it for held
        return True
    return False


def read_summary(path: Path) -> dict[str, Any] | None:
    """Content of summary.json; None where it is missing or damaged."""
    return read_object(path / "summary.json")


def _status(path: Path) -> dict[str, Any]:
    return read_object(path / "status.json") or {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
