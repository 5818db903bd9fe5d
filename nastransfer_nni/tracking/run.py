"""A run: one folder that holds all of it, how it starts, ends, and resumes after a kill.

```
config.yaml    every option resolved, command line, versions, git commit, host
status.json    running | completed | failed | interrupted, and why
metrics.jsonl  one line per epoch and split
summary.json   final metrics and cost
tensorboard/   checkpoints/
```
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import yaml

from nastransfer_nni.base import files, provenance
from nastransfer_nni.base.launch import global_rank
from nastransfer_nni.base.machine_errors import WRITE_ERRORS
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.nni_engine.trial import report_finished
from nastransfer_nni.tracking import directory
from nastransfer_nni.tracking.directory import FORMAT, VERSION, Status, read_config, read_status
from nastransfer_nni.tracking.interruption import Interruption
from search_spaces.errors import UserError

Upgrade = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Brings options as version 0.1 wrote them to their names of today."""

MAX_STEM = 240
"""Characters of a default folder's name before the digest; file systems take 255 bytes in all."""


@dataclass
class Run:
    """An open run directory; made by `Run.open`.

    Attributes:
        path: folder of the run.
        is_main: whether this process writes (rank 0 of a distributed run); the others write nothing.
        is_resumed: whether an earlier process has worked on this run.
        was_complete: whether the run was complete when it was opened.
        finished: summary of a complete run; None for one with work left, {} in processes that do not write.
    """

    path: Path
    is_main: bool = True
    is_resumed: bool = False
    was_complete: bool = False
    finished: dict[str, Any] | None = None
    _summary: dict[str, Any] | None = field(default=None, repr=False)
    _interruption: Interruption = field(default_factory=Interruption, repr=False)
    _at_end: list[Callable[[Status], None]] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """File with one line per epoch and split."""
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
        defaults: Mapping[str, Any] = MappingProxyType({}),
        upgrade: Upgrade = dict,
    ) -> Iterator[Self]:
        """Open the run of `command` with these options, hold it for the block, and write how it ends.

        A run that is complete comes back with `finished` set and is left as it is. SIGTERM raises
        KeyboardInterrupt, as Ctrl-C does.

        Args:
            command: name of the command.
            names: words for the default folder's name, such as strategy and source.
            options: every option, resolved, as JSON values.
            out: folder of the run; None: `runs/<command>-<names>-<hash of the options>`, where the
                environment variable NASTRANSFER_RUNS replaces `runs`.
            overwrite: remove the run that the folder holds and start anew.
            non_identifying: options that do not change the result, left out of the hash and the comparison.
            defaults: values that options count with in a run that was begun before they were added.
            upgrade: brings the options of a run of version 0.1 to their names of today.

        Raises:
            UserError: the folder is in use, holds another run or other files, or cannot be written.
        """
        ignored = {"out", "overwrite", *non_identifying}
        compared = {name: value for name, value in options.items() if name not in ignored}
        as_today = _AsToday(command, compared, defaults, upgrade)
        path = expanded(out) if out is not None else _default_folder(names, as_today)
        if global_rank() != 0:
            yield cls(path, is_main=False)
            return
        made: list[Path] = []
        with contextlib.ExitStack() as stack:
            try:
                directory.require_usable(path)
                if not overwrite:
                    _refuse_other_options(path, as_today)
                made = [folder for folder in (path, *path.parents) if not folder.exists()]
                path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(directory.locked(path))
                if overwrite or (path / directory.REMOVING).exists():
                    directory.clear(path)
                else:  # again: the run may have appeared before the lock was taken
                    _refuse_other_options(path, as_today)
                run = cls._prepare(path, command, options, compared)
                if run.finished is None:
                    stack.enter_context(run._tracked(made))
            except OSError as error:
                with contextlib.suppress(OSError):
                    if path in made:  # leave nothing of a run that could not start, for want of room, say
                        directory.remove(path, made)
                raise UserError(f"cannot write to the folder {path}: {error.strerror or error}") from None
            yield run

    @classmethod
    def _prepare(cls, path: Path, command: str, options: dict[str, Any], compared: dict[str, Any]) -> Self:
        directory.remove_scratch_files(path)
        config = read_config(path)
        run = cls(path, is_resumed=config is not None)
        if config is not None and read_status(path) == "completed":
            run.finished = directory.read_summary(path)
            run.was_complete = run.finished is not None
            if run.was_complete:
                return run
        start = provenance.here()
        if config is None:
            config = {
                "format": FORMAT,
                "version": VERSION,
                "command": command,
                "options": options,
                "compared": sorted(compared),
                **start,
            }
        else:
            config.setdefault("continued", []).append(start)
        files.write_text(path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        run.checkpoints.mkdir(exist_ok=True)  # created after config.yaml, which marks the folder as a run
        run.tensorboard.mkdir(exist_ok=True)
        return run

    def complete(self, summary: dict[str, Any]) -> None:
        """Write the summary; the run counts as completed once its block has ended without an error."""
        self._summary = summary
        if self.is_main:
            files.write_json(self.path / "summary.json", summary)

    def at_end(self, call: Callable[[Status], None]) -> None:
        """Call a function with the run's status once its block has ended and its files are written."""
        self._at_end.append(call)

    @property
    def is_interrupted(self) -> bool:
        """Whether SIGTERM or Ctrl-C waits for the end of an `uninterrupted` block."""
        return self._interruption.is_pending

    def uninterrupted(self) -> contextlib.AbstractContextManager[None]:
        """Defer SIGTERM and Ctrl-C to the end of the block; a second signal does not wait."""
        return self._interruption.deferred()

    @contextlib.contextmanager
    def _tracked(self, made: list[Path]) -> Iterator[None]:
        """Keep status.json true to what happens in the block.

        Args:
            made: folders that were made for this run, innermost first.
        """
        self._write_status("running")
        try:
            with self._interruption.installed(), _without_threads_tracebacks():
                yield
        except KeyboardInterrupt:
            self._write_status("interrupted", "SIGINT or SIGTERM")
            raise
        except UserError as error:
            if self.is_resumed or self.metrics.exists():
                self._write_status("failed", str(error))
            else:  # a mistake that showed before the first metric: leave nothing to clean up
                directory.remove(self.path, made)
            raise
        except OSError as error:
            self._write_status("failed", f"{type(error).__name__}: {error}")
            if error.errno not in WRITE_ERRORS or not self._owns(error.filename):
                raise
            raise UserError(
                f"cannot write to {self.path}: {error.strerror}; what was written before is intact, and the "
                "same command resumes from there"
            ) from None
        except BaseException as error:
            self._write_status("failed", f"{type(error).__name__}: {error}")
            raise
        assert self._summary is not None, "a run that ends without an error has a summary"
        self._write_status("completed")

    def _owns(self, name: object) -> bool:
        """Whether an OSError's file is one of this run's; one that names no file came from a write."""
        return name is None or self.path.absolute() in Path(str(name)).absolute().parents

    def _write_status(self, status: Status, why: str = "") -> None:
        value = {
            "status": status,
            "why": why,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "at": provenance.now(),
        }
        file = self.path / "status.json"
        try:
            files.write_json(file, value)
        except OSError:
            if status == "running":
                raise
            with contextlib.suppress(OSError), file.open("r+b") as old:  # a full disk has room for this one
                old.write(files.pretty(value).encode())
                old.truncate()
        if status != "running":
            for call in self._at_end:
                call(status)


@contextlib.contextmanager
def _without_threads_tracebacks() -> Iterator[None]:
    """Keep full disks quiet in threads for the block: TensorBoard's raises in the main thread what it met."""
    show = threading.excepthook

    def show_others(failed: threading.ExceptHookArgs) -> None:
        if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in WRITE_ERRORS):
            show(failed)

    threading.excepthook = show_others
    try:
        yield
    finally:
        threading.excepthook = show


def print_result(run: Run) -> None:
    """Print the summary of a complete run; an NNI trial reports that of one that was complete before."""
    if run.was_complete:
        print(f"{run.path} is complete; its summary:")
        report_finished(run.finished or {}, run.path)
    if run.is_main:
        print(files.pretty(_rounded(run.finished)))


def _rounded(value: Any) -> Any:
    """The value with numbers of six digits, for the screen; files have all of them."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) and abs(value) < 1e6 else value


def runs_folder() -> Path:
    """Folder of the runs that are given none: `$NASTRANSFER_RUNS`, by default `runs`."""
    return Path(os.environ.get("NASTRANSFER_RUNS", "runs"))


@dataclass(frozen=True)
class _AsToday:
    """Compares a run with today's options, whatever version has begun it.

    Attributes:
        command: name of the command.
        compared: options of today that change the result.
        defaults: values of options that the run was begun without.
        upgrade: brings the options of a run of version 0.1 to their names of today.
    """

    command: str
    compared: dict[str, Any]
    defaults: Mapping[str, Any]
    upgrade: Upgrade

    def differences(self, config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """Options that differ between a run's config.yaml and today: name, value there, value here."""
        options, is_0_1 = config["options"], "version" not in config
        before = {**self.defaults, **(self.upgrade(options) if is_0_1 else options)}
        before["command"] = config.get("command")
        now = json.loads(json.dumps({"command": self.command, **self.compared}))
        gone = [] if is_0_1 else [name for name in config.get("compared", []) if name not in now]
        return [
            (name, before.get(name), now.get(name))
            for name in [*now, *gone]
            if before.get(name) != now.get(name)
        ]


def _default_folder(names: Sequence[str], as_today: _AsToday) -> Path:
    words = [re.sub(r"[^A-Za-z0-9._]+", "_", str(name)).strip("_.") for name in (as_today.command, *names)]
    stem = "-".join(filter(None, words))[:MAX_STEM]
    folder = runs_folder() / f"{stem}-{files.digest(as_today.compared)}"
    if folder.exists():
        return folder
    for other in sorted(runs_folder().glob(f"{stem}-*")):
        config = read_config(other)  # earlier versions lacked some options, and so had another digest
        if config and not as_today.differences(config):
            return other
    return folder


def has_unfinished_0_1(
    command: str,
    *,
    names: Sequence[str],
    options: dict[str, Any],
    out: str | Path | None,
    non_identifying: Collection[str],
    defaults: Mapping[str, Any],
    upgrade: Upgrade,
) -> bool:
    """Whether `Run.open` with these arguments would resume a run that version 0.1 has begun."""
    ignored = {"out", "overwrite", *non_identifying}
    compared = {name: value for name, value in options.items() if name not in ignored}
    as_today = _AsToday(command, compared, defaults, upgrade)
    path = expanded(out) if out is not None else _default_folder(names, as_today)
    config = read_config(path)
    if config is None or "version" in config or read_status(path) == "completed":
        return False
    return not as_today.differences(config)


def _refuse_other_options(path: Path, as_today: _AsToday) -> None:
    config = read_config(path)
    if config is None:
        return
    differences = as_today.differences(config)
    if differences:
        shown = ", ".join(f"{name}: {before!r} there, {now!r} here" for name, before, now in differences[:3])
        raise UserError(f"{path} holds a run with other options ({shown}); name another --out or --overwrite")
