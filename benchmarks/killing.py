"""Run a command to its end, or kill it on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time


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
