"""Runs a study on this machine, each job in a process of its own."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nastransfer_nni.base.environment import changed_environment
from nastransfer_nni.study import worker
from nastransfer_nni.study.display import Display
from nastransfer_nni.study.engines.base import EngineSettings, register, thread_variables
from nastransfer_nni.study.jobs import Job, JobList
from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import JobStatus, job_status, study_status

GRACE_SECONDS = 30.0
"""Time that interrupted jobs have to save their state."""


@dataclass
class Worker:
    """A job's process, and our end of the pipe that tells it whether we are alive."""

    job: Job
    process: Any
    pipe: Connection
    start_time: float = field(default_factory=time.monotonic)


@register("local")
class LocalEngine:
    """Runs jobs as processes, the next one as soon as one has ended."""

    summary = "processes on this machine"
    options = ()

    def run(self, study: JobList, root: Path, settings: EngineSettings) -> list[JobStatus]:
        """Run what is left of the study."""
        variables = thread_variables(settings.concurrency)
        schedule = Schedule(study, root)
        # the variables must be set before the fork server imports torch
        with changed_environment(variables), Display(study, schedule) as display:
            _run_all(fork_server(), schedule, display, root, settings.concurrency, variables)
        return study_status(study, root)


def _run_all(
    context: Any,
    schedule: Schedule,
    display: Display,
    root: Path,
    concurrency: int,
    variables: dict[str, str],
) -> None:
    workers: dict[Any, Worker] = {}
    try:
        while schedule.pending or workers:
            while len(workers) < concurrency and (job := schedule.take()):
                started = start(context, job, root, variables)
                workers[started.process.sentinel] = started
            display.show([item.job for item in workers.values()])
            if not workers:
                break  # every pending job waits for a search that has failed
            for sentinel in multiprocessing.connection.wait(list(workers), timeout=1.0):
                ended = workers.pop(sentinel)
                ended.process.join()
                ended.pipe.close()
                status = job_status(ended.job, root)
                schedule.finish(status)
                display.finish(status, time.monotonic() - ended.start_time)
    finally:
        _stop(list(workers.values()))  # none is left, unless something else has ended the loop


def fork_server() -> Any:
    """The server that worker processes are forked from; it has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(worker.PRELOADED_MODULES))
    return context


def start(context: Any, job: Job, root: Path, variables: dict[str, str]) -> Worker:
    """Start a job in a process of its own, forked from `context`."""
    our_end, their_end = context.Pipe()
    process = context.Process(target=worker.work, args=(job, root, variables, their_end), name=job.name)
    process.start()
    their_end.close()
    return Worker(job, process, our_end)


def _stop(workers: list[Worker]) -> None:
    """Interrupt the workers, so that they save their state, and wait for them."""
    for item in workers:
        item.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for item in workers:
        item.process.join(max(0.0, deadline - time.monotonic()))
        item.process.kill()
