"""Run a command to its end, or kill it on the way: after a time, or before it changes a file."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, silent."""
    silent = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True)


def finish(command: list[str]) -> float:
    """Run a command to its end; returns the seconds it took."""
    began = time.perf_counter()
    if status := start(command).wait():
        raise SystemExit(f"{' '.join(command)} ended with exit code {status}")
    return time.perf_counter() - began


def kill(command: list[str], after: float) -> bool:
    """Start a command, kill it and its children with SIGKILL; returns whether it was still running."""
    process = start(command)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    was_running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod"}
"""Python's audit events of changes to a file, beside that of opening one to write."""


def die_before_change(number: int, folder: Path) -> None:
    """Make this process kill itself before it changes a file below `folder` for the time `number`, from 0."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        is_change = event in CHANGES or (event == "open" and bool((arguments[2] or 0) & writes))
        if is_change and _is_below(arguments[0], folder):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _is_below(path: object, folder: Path) -> bool:
    """Whether a change is below the folder; a name without one is of a folder that is being removed."""
    return isinstance(path, str | os.PathLike) and (str(folder) in str(path) or os.sep not in str(path))


def in_a_fork(work: Callable[[], object], log: Path, after: float = math.inf) -> int:
    """Do `work` in a forked process, killed `after` so many seconds.

    Args:
        work: what the process does.
        log: file for what it says.
        after: seconds after which it gets a SIGKILL.

    Returns:
        Its exit code; -9 if it was killed.
    """
    end = time.monotonic() + after
    if (child := os.fork()) == 0:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    finished, status = 0, 0
    while not finished and time.monotonic() < end:
        time.sleep(0.02)
        finished, status = os.waitpid(child, os.WNOHANG)
    if not finished:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status)
