"""Status of a study's jobs, read from their folders alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nastransfer_nni.base.reading import read_object
from nastransfer_nni.study import slurm_queue
from nastransfer_nni.study.earlier import done_elsewhere
from nastransfer_nni.study.jobs import Job, JobList
from nastransfer_nni.tracking import directory

COMPLETED, FAILED, RUNNING, INTERRUPTED, WAITING = (
    "completed",
    "failed",
    "running",
    "interrupted",
    "waiting",
)


@dataclass(frozen=True)
class JobStatus:
    """Status of one job.

    Attributes:
        job: the job.
        status: completed, failed, running, interrupted or waiting.
        why: reason of a failure; empty for other statuses.
        summary: final metrics of a completed job; None for other statuses.
    """

    job: Job
    status: str
    why: str = ""
    summary: dict[str, Any] | None = None

    @property
    def is_completed(self) -> bool:
        """Whether there is nothing left to do."""
        return self.status == COMPLETED


def job_status(job: Job, root: Path) -> JobStatus:
    """Status of `job` in the study's folder `root`."""
    folder = job.folder(root)
    status = directory.read_status(folder) or WAITING
    if status == COMPLETED:
        summary = directory.read_summary(folder)
        return JobStatus(job, status if summary else INTERRUPTED, summary=summary)
    if status == FAILED:
        return JobStatus(job, status, _reason(folder))
    if status == WAITING and (error := _last_error(job.log(root))):
        return JobStatus(job, FAILED, error)
    return JobStatus(job, status)


def study_status(study: JobList, root: Path, known: Mapping[str, JobStatus] | None = None) -> list[JobStatus]:
    """Status of every job, in the study's order; those whose results came from elsewhere are completed.

    Args:
        study: the study.
        root: folder of the study.
        known: status of jobs, by their names, whose folders are not read.
    """
    done, known = done_elsewhere(study, root), known or {}
    found = (known.get(job.name) or job_status(job, root) for job in study.jobs)
    return [
        JobStatus(item.job, COMPLETED, summary=done[item.job.name])
        if item.job.name in done and not item.is_completed
        else item
        for item in found
    ]


def _reason(folder: Path) -> str:
    return str((read_object(folder / "status.json") or {}).get("why", ""))


def _last_error(log: Path) -> str:
    """The error in the last line of a log: a job that fails before its first metric leaves no folder."""
    if not log.is_file():
        return ""
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines and lines[-1].startswith("error: ") else ""


def overview(study: JobList, root: Path) -> str:
    """Number of jobs by kind and status, and the name of every job that runs or has failed."""
    statuses = study_status(study, root)
    lines = [f"study {study.name} in {root}"]
    for kind, plural in (("search", "searches"), ("transfer", "transfers")):
        counts = Counter(item.status for item in statuses if item.job.kind == kind)
        parts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        lines.append(f"  {counts.total()} {plural}: {parts}")
    lines += [f"  running: {item.job.name}" for item in statuses if item.status == RUNNING]
    lines += [
        f"  failed: {item.job.name}: {item.why} (log: {item.job.log(root)})"
        for item in statuses
        if item.status == FAILED
    ]
    unfinished = dict.fromkeys(item.job.search or item.job.name for item in statuses if not item.is_completed)
    return "\n".join([*lines, *slurm_queue.overview(study.name, root, list(unfinished))])
