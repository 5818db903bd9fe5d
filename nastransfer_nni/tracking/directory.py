"""Run directories: where one run keeps everything, how it is locked, ends, and goes on after a death.

```
config.yaml    every option resolved, command line, versions, git commit, host
status.json    running | completed | failed | interrupted, and why
metrics.jsonl  a line per epoch and split
summary.json   final figures and cost
tensorboard/   checkpoints/
```
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

import yaml
from filelock import FileLock, Timeout

from nastransfer_nni.base import files, provenance
from nastransfer_nni.base.launch import global_rank
from search_spaces.errors import UserError

Status = Literal["running", "completed", "failed", "interrupted"]

Upgrade = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Brings options as version 0.1 wrote them to their names of today."""

VERSION = 2
"""Version of config.yaml; that of version 0.1 has no number and other names for some options."""

ENTRIES = (
    "config.yaml",
    "status.json",
    "summary.json",
    "metrics.jsonl",
    "architecture.json",
    "architectures.jsonl",
    "candidates.jsonl",
    "cell_normal.svg",
    "cell_reduce.svg",
    "proxy.json",
    "proxy.images.parquet",
    "checkpoints",
    "front",
    "nni",
    "tensorboard",
)
"""All that a run writes into its folder, and so all that is ever removed from it."""

LOCK = ".lock"
CLEARING = ".clearing"
"""Beside what is left of a run that is being removed: whoever opens the folder next removes the rest."""

ORPHAN_SECONDS = 15.0  # a killed run's data workers notice, and let go of its lock, within five seconds
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@dataclass
class Run:
    """An open run directory; made by `Run.open`.

    Attributes:
        path: the folder.
        is_main: whether this process writes (rank 0 of a distributed run); the others write nothing.
        is_resumed: whether an earlier process has worked on this run.
        finished: the summary of a run that was completed before; None for one with work left.
    """

    path: Path
    is_main: bool = True
    is_resumed: bool = False
    finished: dict[str, Any] | None = None
    _summary: dict[str, Any] | None = field(default=None, repr=False)
    _deferred: list[int] | None = field(default=None, repr=False)
    _made: list[Path] = field(default_factory=list, repr=False)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """The file with a line per epoch and split."""
        return self.path / "metrics.jsonl"

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        command: str,
        *,
        names: Sequence[str],
        options: dict[str, Any],
        out: str | Path | None = None,
        overwrite: bool = False,
        non_identifying: Collection[str] = (),
        upgrade: Upgrade = dict,
    ) -> Iterator[Self]:
        """Open the run of `command` with these options, hold it for the block, note how it ends.

        A run that is complete comes back with `finished` set and is left as it is. SIGTERM raises
        KeyboardInterrupt, as Ctrl-C does.

        Args:
            command: the command's name.
            names: what the run is about, for the default folder's name.
            options: every option, resolved, as JSON values.
            out: the folder; by default `runs/<command>-<names>-<hash of the options>`, where the
                environment variable NASTRANSFER_RUNS replaces `runs`.
            overwrite: start anew whatever the folder's earlier run was.
            non_identifying: options that do not change the result, left out of the hash and the comparison.
            upgrade: brings the options of a run of version 0.1 to their names of today.

        Raises:
            UserError: the folder is in use, holds another run or something else, or cannot be written.
        """
        ignored = {"out", "overwrite", *non_identifying}
        compared = {name: value for name, value in options.items() if name not in ignored}
        path = Path(out) if out is not None else _default_folder(command, names, compared, upgrade)
        if global_rank() != 0:
            yield cls(path, is_main=False)
            return
        with contextlib.ExitStack() as stack:
            try:
                _refuse_strangers(path)
                if not overwrite:
                    _refuse_other_options(path, command, compared, upgrade)
                made = [folder for folder in (path, *path.parents) if not folder.exists()]
                path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_locked(path))
                if overwrite or (path / CLEARING).exists():
                    _clear(path)
                else:  # again: it may have appeared before the lock
                    _refuse_other_options(path, command, compared, upgrade)
                run = cls._prepare(path, command, options, compared)
                run._made = made
            except OSError as error:
                raise UserError(f"cannot write to the folder {path}: {error.strerror or error}") from None
            if run.finished is None:
                stack.enter_context(run._watched())
            yield run

    @classmethod
    def _prepare(cls, path: Path, command: str, options: dict[str, Any], compared: dict[str, Any]) -> Self:
        for scratch in _scratch_files(path):
            scratch.unlink()  # half-written when an earlier process was killed
        config = _read(path)
        run = cls(path, is_resumed=config is not None)
        if config is not None and read_status(path) == "completed":
            run.finished = json.loads((path / "summary.json").read_text())
            return run
        start = provenance.here()
        if config is None:
            config = {
                "version": VERSION,
                "command": command,
                "options": options,
                "compared": sorted(compared),
                **start,
            }
        else:
            config.setdefault("continued", []).append(start)
        files.write_text(path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        run.checkpoints.mkdir(exist_ok=True)  # after the file that tells a run's folder from a stranger's
        run.tensorboard.mkdir(exist_ok=True)
        return run

    def complete(self, summary: dict[str, Any]) -> None:
        """Write the final figures; the run counts as completed once its block has ended well."""
        self._summary = summary
        if self.is_main:
            files.write_json(self.path / "summary.json", summary)

    @property
    def is_interrupted(self) -> bool:
        """Whether SIGTERM or Ctrl-C waits for the end of an `uninterrupted` block."""
        return len(self._deferred or ()) > 1

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Hold back SIGTERM and Ctrl-C until the block has ended, so that what it does is whole.

        A second signal does not wait.
        """
        if self._deferred is None:
            yield  # signals are not ours (no main thread)
            return
        held = self._deferred
        held.append(0)
        try:
            yield
        finally:
            came = held[1:]
            held.clear()
        if came:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Keep status.json true to what happens in the block."""
        self._write_status("running")
        try:
            with self._signals():
                yield
        except KeyboardInterrupt:
            self._write_status("interrupted", "SIGINT or SIGTERM")
            raise
        except UserError as error:
            if self.is_resumed or self.metrics.exists():
                self._write_status("failed", str(error))
            else:  # a mistake that showed before the first metric: leave nothing to clean up
                self._remove()
            raise
        except OSError as error:
            self._write_status("failed", f"{type(error).__name__}: {error}")
            if error.errno not in NO_ROOM or not self._owns(error.filename):
                raise
            raise UserError(
                f"cannot write to {self.path}: {error.strerror}; what was written before is intact, and the "
                "same command goes on from there"
            ) from None
        except BaseException as error:
            self._write_status("failed", f"{type(error).__name__}: {error}")
            raise
        assert self._summary is not None, "a run that ends well has a summary"
        self._write_status("completed")

    def _remove(self) -> None:
        """Remove what this run has written, and the folders that it has made."""
        _clear(self.path)
        (self.path / LOCK).unlink()
        for folder in self._made:  # the innermost first
            with contextlib.suppress(OSError):  # something else has been put there
                folder.rmdir()

    def _owns(self, name: object) -> bool:
        """Whether an OSError's file is one of this run's; one that names no file came from a write."""
        return name is None or self.path.absolute() in Path(str(name)).absolute().parents

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        held: list[int] = []
        self._deferred = held

        def interrupt(number: int, frame: FrameType | None) -> None:
            if len(held) != 1:
                raise KeyboardInterrupt
            held.append(number)

        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            self._deferred = None
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _write_status(self, status: Status, why: str = "") -> None:
        value = {
            "status": status,
            "why": why,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "at": provenance.now(),
        }
        with contextlib.suppress(OSError) if status != "running" else contextlib.nullcontext():
            files.write_json(self.path / "status.json", value)


def read_status(path: Path) -> Status | None:
    """How the run in the folder `path` stands; None when there is none.

    A run whose process was killed before it could say so counts as interrupted.
    """
    try:
        status: Status = json.loads((path / "status.json").read_text())["status"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    if status == "running":
        try:
            with FileLock(path / LOCK, timeout=0):
                return "interrupted"
        except Timeout:
            return "running"
    return status


def runs_folder() -> Path:
    """The folder of runs that are given none: `$NASTRANSFER_RUNS`, by default `runs`."""
    return Path(os.environ.get("NASTRANSFER_RUNS", "runs"))


def _default_folder(command: str, names: Sequence[str], compared: dict[str, Any], upgrade: Upgrade) -> Path:
    words = [re.sub(r"[^A-Za-z0-9._]+", "_", str(name)).strip("_.") for name in (command, *names)]
    stem = "-".join(filter(None, words))
    folder = runs_folder() / f"{stem}-{files.digest(compared)}"
    if not folder.exists():  # version 0.1 had other names for some options, and so another digest
        for other in sorted(runs_folder().glob(f"{stem}-*")):
            config = _read(other)
            if (
                config is not None
                and "version" not in config
                and not _differences(config, command, compared, upgrade)
            ):
                return other
    return folder


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(yaml.safe_load((path / "config.yaml").read_text()))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, TypeError, ValueError):
        raise UserError(f"{path / 'config.yaml'} is not a run's list of options") from None


def _refuse_strangers(path: Path) -> None:
    """Refuse a file, and a folder with contents that no run has written."""
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path} is a file; it must be a folder")
    if path.is_dir() and not any((path / name).exists() for name in ("config.yaml", CLEARING)):
        others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if others:
            raise UserError(f"--out {path} holds other files ({others[0]}, ...); name a new folder")


def _refuse_other_options(path: Path, command: str, compared: dict[str, Any], upgrade: Upgrade) -> None:
    config = _read(path)
    if config is None:
        return
    differences = _differences(config, command, compared, upgrade)
    if differences:
        shown = ", ".join(f"{name}: {before!r} there, {now!r} here" for name, before, now in differences[:3])
        raise UserError(f"{path} holds a run with other options ({shown}); name another --out or --overwrite")


def _differences(
    config: dict[str, Any], command: str, compared: dict[str, Any], upgrade: Upgrade
) -> list[tuple[str, Any, Any]]:
    """Options that differ between a run's config.yaml and those of today: name, value there, value here."""
    options = config.get("options") or {}
    before = {"command": config.get("command"), **(options if "version" in config else upgrade(options))}
    now = json.loads(json.dumps({"command": command, **compared}))
    gone = [name for name in config.get("compared", []) if "version" in config and name not in now]
    return [
        (name, before.get(name), now.get(name)) for name in [*now, *gone] if before.get(name) != now.get(name)
    ]


def _clear(path: Path) -> None:
    """Remove all that a run has written; if killed at it, the next to open the folder goes on."""
    mark = path / CLEARING
    mark.touch()
    for name in ("config.yaml", "status.json"):  # from here on nobody takes it for the run that it was
        (path / name).unlink(missing_ok=True)
    for scratch in _scratch_files(path):
        scratch.unlink()
    for entry in (path / name for name in ENTRIES):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    mark.unlink()


def _scratch_files(path: Path) -> list[Path]:
    """Files that a killed process of this run had not finished writing."""
    own = [scratch for name in ENTRIES for scratch in path.glob(f".{name}.*")]
    return [*own, *(path / "checkpoints").glob(".*.*")]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when the process dies."""
    lock = FileLock(path / LOCK)
    try:
        holder = json.loads((path / "status.json").read_text())
    except FileNotFoundError:
        holder = {"pid": None, "host": None}
    is_dead = holder["host"] == socket.gethostname() and not _is_alive(holder["pid"])
    try:
        with lock.acquire(timeout=ORPHAN_SECONDS if is_dead else 0):
            yield
    except Timeout:
        raise UserError(
            f"{path} is in use by another run (process {holder['pid']} on {holder['host']})"
        ) from None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
