"""The page of a study's status: progress, failures and the results so far, kept up to date while it runs.

A look at the folder reads the status of the jobs that are not completed. The page is written again only if
something on it has changed. The statistics of the results take seconds, so they are computed anew only when
another transfer is completed, and for no more than a small share of the time.
"""

from __future__ import annotations

import html
import socket
import time
from pathlib import Path

from nastransfer_nni.base.files import write_text
from nastransfer_nni.report.run import results_so_far
from nastransfer_nni.report.templating import template
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.jobs import JobList
from nastransfer_nni.study.progress import STATES, describe, progress
from nastransfer_nni.study.status import JobStatus, study_status
from search_spaces.errors import UserError

PAGE = "status.html"
SHARE = 0.05
"""Largest share of the time that computing the results so far may take."""
REPLICATES = 1000
"""Simulated replicates of rankings; a report has ten times as many."""


def watch(study: JobList, root: Path, every: float) -> None:
    """Write the page of a study's status, and keep it up to date until the study is completed or Ctrl-C.

    Args:
        study: the study.
        root: folder of the study.
        every: seconds between two looks at the folder; 0 writes the page once.

    Raises:
        UserError: the page cannot be written.
    """
    page = StatusPage(study, root)
    try:
        is_completed = page.update(every)
        print(page.path)
        if every and not is_completed:
            print(f"kept up to date every {every:g} s until the study is completed or Ctrl-C", flush=True)
        while every and not is_completed:
            time.sleep(every)
            is_completed = page.update(every)
    except KeyboardInterrupt:
        page.update(0)
        print(f"\n{page.path} is no longer kept up to date; the study is not affected")


class StatusPage:
    """The page of a study's status.

    Args:
        study: the study.
        root: folder of the study.

    Attributes:
        path: file of the page.
    """

    def __init__(self, study: JobList, root: Path) -> None:
        self.path = root / PAGE
        self._study, self._root = study, root
        self._searches = {job.name: job.config for job in study.jobs if isinstance(job.config, SearchConfig)}
        self._completed: dict[str, JobStatus] = {}
        self._results, self._results_due = "", 0.0
        self._results_of: set[str] = set()
        self._written = ""

    def update(self, every: float) -> bool:
        """Look at the study's folder, and write the page if something on it has changed.

        Args:
            every: seconds after which a browser is to load the page again; 0 for a page that stays as it is.

        Returns:
            Whether every job is completed.

        Raises:
            UserError: the page cannot be written.
        """
        statuses = self._statuses()
        is_completed = all(item.is_completed for item in statuses)
        self._update_results(statuses, is_last=is_completed or not every)
        now = time.time()
        variables = {
            "now": now,
            "study": self._study.name,
            "root": self._root,
            "host": socket.gethostname(),
            "states": STATES,
            "progress": progress(statuses, self._root, now),
            "describe": lambda job: describe(job, self._searches),
            "results": self._results,
            "results_of": len(self._results_of),
            "every": 0 if is_completed else every,
            "is_completed": is_completed,
            "clock": _clock,
        }
        page = template("status.html.j2", "nastransfer_nni.study")
        shown = page.render(variables, changed_at="")
        if shown != self._written:
            text = page.render(variables, changed_at=_clock(now))
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                write_text(self.path, text)
            except OSError as error:
                raise UserError(f"cannot write {self.path}: {error.strerror or error}") from None
            self._written = shown
        return is_completed

    def _statuses(self) -> list[JobStatus]:
        """Status of every job; a completed one is not read again unless its folder has been removed."""
        known = {name: item for name, item in self._completed.items() if item.job.folder(self._root).exists()}
        statuses = study_status(self._study, self._root, known)
        self._completed = {item.job.name: item for item in statuses if item.is_completed}
        return statuses

    def _update_results(self, statuses: list[JobStatus], *, is_last: bool) -> None:
        """Compute the results so far if other transfers are completed than before, and it is time."""
        completed = {item.job.name for item in statuses if item.is_completed and item.job.kind == "transfer"}
        start = time.monotonic()
        if completed == self._results_of or (start < self._results_due and not is_last):
            return
        try:
            self._results = results_so_far(self._root, REPLICATES)
        except UserError as error:  # the progress is shown all the same
            self._results = f"<p>There is no report yet: {html.escape(str(error))}</p>"
        self._results_of = completed
        self._results_due = start + (time.monotonic() - start) / SHARE


def _clock(seconds: float | None) -> str:
    """A time of this machine, as readers in its time zone say it; empty for an unknown one."""
    return "" if seconds is None else time.strftime("%d %b %H:%M %Z", time.localtime(seconds))
