"""One search of a study and its transfers, one after the other in this process: a task of a cluster."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from pathlib import Path

from nastransfer_nni.study.design import Study
from nastransfer_nni.study.earlier import done_elsewhere
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.study.status import RUNNING, job_status
from nastransfer_nni.study.worker import logged, run_job
from search_spaces.errors import UserError, unknown

IN_USE_SECONDS, LOOK_SECONDS = 600.0, 10.0
"""Time that another process has to release a job, and from one look at it to the next."""


def chain_jobs(study: Study, root: Path, search: str) -> list[Job]:
    """A search and those of its transfers whose results did not come from elsewhere.

    Raises:
        UserError: the study has no such search.
    """
    done = done_elsewhere(study, root)
    jobs = [
        job for job in study.jobs if job.name == search or (job.search == search and job.name not in done)
    ]
    if not jobs or jobs[0].kind != "search":
        raise unknown(f"search of {study.name}", search, [job.name for job in study.jobs if not job.search])
    return jobs


def run_logged(study: Study, root: Path, search: str) -> None:
    """Run a search and its transfers, each with a log of its own; one that fails stops no other transfer.

    SIGUSR1 is taken for SIGTERM: many clusters warn of a time limit with it.

    Raises:
        UserError: the study has no such search, or a job has failed.
        KeyboardInterrupt: the job that ran has saved its state.
    """
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    jobs = chain_jobs(study, root, search)
    failed: list[str] = []
    for job in jobs:
        if job.search in failed:
            continue
        with logged(job.log(root)):
            _wait_while_in_use(job, root)
            try:
                run_job(job, root)
                continue
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
            except Exception:
                traceback.print_exc()
        failed.append(job.name)
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} jobs have failed: {', '.join(failed)}")


def _wait_while_in_use(job: Job, root: Path) -> None:
    """Wait for another process that has the job, such as one of a lost node whose lock outlives it."""
    deadline = time.monotonic() + IN_USE_SECONDS
    while job_status(job, root).status == RUNNING and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
