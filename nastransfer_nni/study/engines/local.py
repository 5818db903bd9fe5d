"""Runs a study on this machine: each job in a process of its own, a failed one once more, then the next."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nastransfer_nni.study import status, worker
from nastransfer_nni.study.design import Job, Study
from nastransfer_nni.study.display import Display
from nastransfer_nni.study.schedule import Schedule

GRACE_SECONDS = 30.0
"""How long interrupted jobs may take to save their state."""


@dataclass
class _Working:
    job: Job
    process: Any
    lifeline: Connection
    since: float = field(default_factory=time.monotonic)


def run(study: Study, root: Path, workers: int, threads: int) -> list[status.Standing]:
    """Run what is left of the study; returns how every job stands afterwards.

    A transfer starts as soon as its search is done and goes before searches that are still to come.

    Args:
        study: what to run.
        root: its folder.
        workers: jobs at a time.
        threads: processor threads of each.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(worker.MODULES))
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the server imports torch
    schedule = Schedule(study, root)
    working: dict[Any, _Working] = {}
    with Display(study, schedule.done) as display:
        try:
            while schedule.pending or working:
                while len(working) < workers and (job := schedule.take()):
                    started = _start(context, job, root, threads)
                    working[started.process.sentinel] = started
                display.show([item.job for item in working.values()], schedule)
                if not working:
                    break  # what is pending waits for searches that failed
                for sentinel in multiprocessing.connection.wait(list(working), timeout=1.0):
                    ended = working.pop(sentinel)
                    _close(ended)
                    stands = status.standing(ended.job, root)
                    schedule.finish(ended.job, stands)
                    display.ended(stands, time.monotonic() - ended.since, schedule)
        except KeyboardInterrupt:
            _stop(working)
            raise
    return [status.standing(job, root) for job in study.jobs]


def _start(context: Any, job: Job, root: Path, threads: int) -> _Working:
    ours, theirs = context.Pipe()
    process = context.Process(target=worker.work, args=(job, root, threads, theirs), name=job.name)
    process.start()
    theirs.close()
    return _Working(job, process, ours)


def _close(ended: _Working) -> None:
    ended.process.join()
    ended.lifeline.close()


def _stop(working: dict[Any, _Working]) -> None:
    """Interrupt what is at work, so that it saves its state, and wait for it."""
    for item in working.values():
        item.process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for item in working.values():
        item.process.join(max(0.0, deadline - time.monotonic()))
        item.process.kill()
