"""One job of a study: in this process, or in a process of its own that ends with the study's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nastransfer_nni.base.paths import names_from
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.transfer.run import transfer
from search_spaces.errors import UserError

PRELOADED_MODULES = ("nastransfer_nni.study.warm", "nastransfer_nni.study.worker")
"""Modules that the server imports once, before worker processes are forked from it."""


def work(job: Job, root: Path, variables: dict[str, str], parent_pipe: Connection) -> None:
    """Run `job` with its output in its log; the exit code is that of the job's command.

    Args:
        job: the job.
        root: folder of the study.
        variables: environment variables of the job.
        parent_pipe: closes when the study's process dies for any reason; this process then ends, too.
    """
    _log_to(job.log(root))
    threading.Thread(target=_end_with_parent, args=(parent_pipe,), daemon=True).start()
    try:
        os.environ.update(variables)
        if threads := variables.get("OMP_NUM_THREADS"):
            import torch  # takes seconds, and the study's process imports this module without it

            torch.set_num_threads(int(threads))
        run_job(job, root)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def run_job(job: Job, root: Path) -> dict[str, Any]:
    """Run `job` in this process, unless it is completed.

    Returns:
        The summary of the job's run.

    Raises:
        UserError: something that the user can fix.
    """
    with names_from(job.names_folder):
        options = job.options(root)
        run = search(options) if isinstance(options, SearchConfig) else transfer(options)
    return run.finished or {}


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what is printed in the block, by libraries too, to the file `path`."""
    before = {stream: os.dup(stream) for stream in (1, 2)}
    streams = sys.stdout, sys.stderr
    try:
        _log_to(path)
        yield
    finally:
        for own in (sys.stdout, sys.stderr):
            own.flush()
        for stream, copy in before.items():
            os.dup2(copy, stream)
            os.close(copy)
        sys.stdout, sys.stderr = streams


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))


def _end_with_parent(parent_pipe: Connection) -> None:
    try:
        parent_pipe.recv()
    except EOFError:
        os.kill(os.getpid(), signal.SIGKILL)
