"""One job of a study: in this process, or in a process of its own that ends with the study's."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
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


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)


def _end_with_parent(parent_pipe: Connection) -> None:
    try:
        parent_pipe.recv()
    except EOFError:
        os.kill(os.getpid(), signal.SIGKILL)
