"""What `study run` shows: a progress bar on a terminal, and one line per finished job anywhere."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nastransfer_nni.base.format import duration
from nastransfer_nni.study.jobs import Job, JobList
from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import JobStatus


class Display:
    """Shows the running jobs, the number of completed ones and the time left.

    Args:
        study: the study or pilot that runs.
        schedule: the schedule of its jobs, kept up to date by the caller.
    """

    def __init__(self, study: JobList, schedule: Schedule) -> None:
        self._schedule, self._total = schedule, len(study.jobs)
        self._job_seconds: dict[str, list[float]] = {"search": [], "transfer": []}
        self._start_time = time.monotonic()
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        count = len(schedule.completed)
        self._task = self._bar.add_task(f"study {study.name}", total=self._total, completed=count, note="")
        self._line(f"study {study.name}: {self._total} jobs, {count} completed before")

    def show(self, running: list[Job]) -> None:
        """Update the progress bar."""
        names = ", ".join(job.name for job in running)
        note = " ".join(filter(None, (names, self._outlook())))
        self._bar.update(self._task, completed=len(self._schedule.completed), note=note)

    def finish(self, status: JobStatus, seconds: float) -> None:
        """Print how a job ended, after `seconds`."""
        job, summary = status.job, status.summary
        if summary is None:
            result = f"{status.status} {status.why}".strip()
        else:
            self._job_seconds[job.kind].append(seconds)
            top1 = summary.get("top1")
            result = duration(seconds) if top1 is None else f"top1 {top1:.2f}, {duration(seconds)}"
        count = f"[{len(self._schedule.completed)}/{self._total}]"
        self._line(f"{count} {job.kind} {job.name}: {result}{self._outlook()}")

    def _outlook(self) -> str:
        """Time until the study is completed, estimated from its jobs so far."""
        known = [seconds for kind in self._job_seconds.values() for seconds in kind]
        if not known or not self._schedule.pending:
            return ""
        mean = statistics.fmean(known)
        left = sum(statistics.fmean(self._job_seconds[job.kind] or [mean]) for job in self._schedule.pending)
        # jobs run side by side: elapsed time per second of a job
        seconds = left * (time.monotonic() - self._start_time) / sum(known)
        end = time.strftime("%H:%M", time.localtime(time.time() + seconds))
        return f"; about {duration(seconds)} left, until {end}"

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
