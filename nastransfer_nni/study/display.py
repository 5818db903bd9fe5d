"""What a running study shows: a bar on a terminal, a line a finished job anywhere else."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nastransfer_nni.study.design import Job, Study
from nastransfer_nni.study.schedule import Schedule
from nastransfer_nni.study.status import Standing


class Display:
    """Shows what runs, what is left and until when.

    Args:
        study: what runs.
        done: names of the jobs that were done before.
    """

    def __init__(self, study: Study, done: set[str]) -> None:
        self._total = len(study.jobs)
        self._durations: dict[str, list[float]] = {"search": [], "transfer": []}
        self._began = time.monotonic()
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
        self._task = self._bar.add_task(
            f"study {study.name}", total=self._total, completed=len(done), note=""
        )
        self._line(f"study {study.name}: {self._total} jobs, {len(done)} done before")

    def show(self, working: list[Job], schedule: Schedule) -> None:
        """Update the bar."""
        names = ", ".join(job.name for job in working)
        note = " ".join(filter(None, (names, self._outlook(schedule))))
        self._bar.update(self._task, completed=len(schedule.done), note=note)

    def ended(self, stands: Standing, seconds: float, schedule: Schedule) -> None:
        """Say how a job ended."""
        job, summary = stands.job, stands.summary
        if summary is not None:
            self._durations[job.kind].append(seconds)
            top1 = summary.get("top1")
            told = f"top1 {top1:.2f}, {seconds:.0f} s" if top1 is not None else f"{seconds:.0f} s"
        else:
            told = f"{stands.status} {stands.why}".strip()
        count = f"[{len(schedule.done)}/{self._total}]"
        self._line(f"{count} {job.kind} {job.name}: {told}{self._outlook(schedule)}")

    def _outlook(self, schedule: Schedule) -> str:
        """When the study will be done, from how long its jobs have taken so far."""
        left = [statistics.fmean(self._durations[job.kind] or [0.0]) for job in schedule.pending]
        known = [seconds for kind in self._durations.values() for seconds in kind]
        if not known or not left:
            return ""
        pace = (time.monotonic() - self._began) / sum(known)
        seconds = pace * sum(seconds or statistics.fmean(known) for seconds in left)
        until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
        return f"; about {max(1, round(seconds / 60))} min left, until {until}"

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
