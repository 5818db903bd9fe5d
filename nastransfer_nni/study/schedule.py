"""Which job of a study comes next."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.study import status
from nastransfer_nni.study.design import Job, Study

TRIES = 2


class Schedule:
    """Which job comes next.

    Attributes:
        done: names of the jobs that are completed.
        pending: those that are not, in the study's order, but for the ones at work.
    """

    def __init__(self, study: Study, root: Path) -> None:
        finished = [status.standing(job, root).status == status.FINISHED for job in study.jobs]
        self.done = {job.name for job, is_done in zip(study.jobs, finished, strict=True) if is_done}
        self.pending = [job for job in study.jobs if job.name not in self.done]
        self._tries: dict[str, int] = {}

    def take(self) -> Job | None:
        """The next job whose search is done, transfers first; None while there is none."""
        ready = [job for job in self.pending if job.search is None or job.search in self.done]
        if not ready:
            return None
        job = min(ready, key=lambda job: job.kind == "search")
        self.pending.remove(job)
        return job

    def finish(self, job: Job, stands: status.Standing) -> None:
        """Note how `job` ended; one that failed is tried once more, at the end."""
        if stands.status == status.FINISHED:
            self.done.add(job.name)
            return
        self._tries[job.name] = self._tries.get(job.name, 1) + 1
        if self._tries[job.name] <= TRIES:
            self.pending.append(job)
