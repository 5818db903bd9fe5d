"""The order in which a study's jobs run."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.study.design import Study
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.study.status import JobStatus, study_status

MAX_ATTEMPTS = 2
"""Times that a job is tried before its failure is reported."""


class Schedule:
    """Chooses the next job: a transfer as soon as its search is completed, else the next search.

    Args:
        study: the study.
        root: folder of the study; jobs that are completed there are not run again.

    Attributes:
        completed: names of the completed jobs.
        pending: jobs that are neither completed nor running, in the study's order.
    """

    def __init__(self, study: Study, root: Path) -> None:
        statuses = study_status(study, root)
        self.completed = {item.job.name for item in statuses if item.is_completed}
        self.pending = [item.job for item in statuses if not item.is_completed]
        self._failures: dict[str, int] = {}

    def take(self) -> Job | None:
        """Remove the next job from `pending`; returns None while every job there waits for its search."""
        ready = [job for job in self.pending if job.search is None or job.search in self.completed]
        if not ready:
            return None
        job = min(ready, key=lambda job: job.kind == "search")
        self.pending.remove(job)
        return job

    def finish(self, status: JobStatus) -> None:
        """Note how a job ended; one that failed is tried again after the others, up to `MAX_ATTEMPTS`."""
        job = status.job
        if status.is_completed:
            self.completed.add(job.name)
            return
        self._failures[job.name] = self._failures.get(job.name, 0) + 1
        if self._failures[job.name] < MAX_ATTEMPTS:
            self.pending.append(job)
