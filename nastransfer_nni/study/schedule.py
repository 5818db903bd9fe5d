"""The order in which a study's jobs run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.design import BASELINE
from nastransfer_nni.study.jobs import Job, JobList
from nastransfer_nni.study.status import JobStatus, study_status

MAX_ATTEMPTS = 2
"""Times that a job is tried before its failure is reported."""


def in_rounds(jobs: Sequence[Job], every: Sequence[Job]) -> list[Job]:
    """Jobs in rounds: the first search of each strategy on each proxy set, then the second, and so on.

    Where one has more searches than others, as random cells have, they are spread over all rounds. A round
    begins with random cells.

    Args:
        jobs: the jobs to put in order; transfers stay behind their searches.
        every: all jobs of the study.
    """
    arms: dict[tuple[str, ...], list[str]] = {}
    for job in every:
        if isinstance(job.config, SearchConfig):
            arm = (job.config.strategy.text, job.config.source.text, job.config.proxy.text)
            arms.setdefault(arm, []).append(job.name)
    place = {
        name: (index / len(names), arm[0] != BASELINE)
        for arm, names in arms.items()
        for index, name in enumerate(names)
    }
    return sorted(jobs, key=lambda job: place[job.search or job.name])


class Schedule:
    """Chooses the next job: a transfer as soon as its search is completed, else the next search.

    The searches go round by round, so that a study that is not completed has about equally many of all.

    Args:
        study: the study or pilot.
        root: folder of the study; jobs that are completed there are not run again.

    Attributes:
        completed: names of the completed jobs.
        pending: jobs that are neither completed nor running, in the order in which they are to run.
    """

    def __init__(self, study: JobList, root: Path) -> None:
        statuses = study_status(study, root)
        self.completed = {item.job.name for item in statuses if item.is_completed}
        self.pending = in_rounds([item.job for item in statuses if not item.is_completed], study.jobs)
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
