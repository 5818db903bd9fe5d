"""One job in a process of its own, which ends with the study that started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from nastransfer_nni.study.design import Job
from search_spaces.errors import UserError

MODULES = (
    "nastransfer_nni.search.experiment",
    "nastransfer_nni.transfer.run",
    "nastransfer_nni.study.worker",
)
"""Imported once, by the server that worker processes are forked from."""


def work(job: Job, root: Path, threads: int, lifeline: Connection) -> None:
    """Run `job`, its output in its log; the process's exit code says how it ended, as the commands' does.

    Args:
        job: what to run.
        root: the study's folder.
        threads: processor threads to use.
        lifeline: closes when the study's process dies, however it dies; this process then ends, too.
    """
    _log_to(job.log(root))
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    try:
        import torch

        torch.set_num_threads(threads)
        run(job, root)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def run(job: Job, root: Path) -> dict[str, object]:
    """Run `job` in this process, or show what it came to before; returns its summary."""
    options = job.options(root)
    if job.kind == "search":
        from nastransfer_nni.search.config import SearchConfig
        from nastransfer_nni.search.run import search

        assert isinstance(options, SearchConfig)
        return search(options).finished or {}
    from nastransfer_nni.transfer.config import TransferConfig
    from nastransfer_nni.transfer.run import transfer

    assert isinstance(options, TransferConfig)
    return transfer(options).finished or {}


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except EOFError:
        os.kill(os.getpid(), signal.SIGKILL)
