"""Runs a study as job arrays of Slurm: a task is one search with its transfers.

What is completed is read from the study's folder, and what is queued from a single squeue. So this process
may end at any time: tasks do not need it, and the same command finds them again.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from nastransfer_nni.base.locks import Timeout, locked
from nastransfer_nni.nni_engine.service import assignments
from nastransfer_nni.study import record
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines.base import EngineSettings, register
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.study.schedule import MAX_ATTEMPTS, in_rounds
from nastransfer_nni.study.slurm_options import SlurmOptions
from nastransfer_nni.study.slurm_queue import CANCELLED, Queue, SlurmError, Task, counted, require_slurm
from nastransfer_nni.study.status import FAILED, JobStatus, job_status, study_status
from search_spaces.errors import UserError

Progress = tuple[object, ...]
"""State of a search and its transfers that changes with every step they store."""


@register("slurm")
class SlurmEngine:
    """Submits an array of tasks, watches it, and submits what did not end well again.

    The machines that run tasks need this Python and the study's folder under the same paths.
    """

    summary = "tasks of Slurm job arrays, each one search with its transfers"
    options = tuple(SlurmOptions.model_fields)

    def run(self, study: Study, root: Path, settings: EngineSettings) -> list[JobStatus]:
        """Run what is left of the study."""
        require_slurm()
        queue = Queue(study.name, root)
        queue.add([job.name for job in in_rounds(study.jobs, study.jobs) if job.kind == "search"])
        try:
            with locked(queue.searches_file.with_name(".lock"), timeout=0):
                _Controller(study, root, queue, settings).run()
        except Timeout:
            raise UserError(f"another process submits the tasks of {root}; end it first") from None
        except KeyboardInterrupt:
            _say(f"tasks that are queued or run stay in Slurm; `scancel --name={queue.name}` ends them")
            raise
        return study_status(study, root)


def task_command(root: Path) -> str:
    """Shell command of a task, with the name of its search in `$search`."""
    folder = root.resolve()
    words = [sys.executable, "-m", "nastransfer_nni.study", "chain", str(folder / record.FILE)]
    words += ["--out", str(folder), "--logs", "--search"]
    return f'env {assignments({})} {shlex.join(words)} "$search"'


class _Controller:
    """Keeps the tasks of a study going until every search is completed with its transfers, or given up.

    A task that was interrupted, for example by its time limit or by the loss of a node, is submitted again as
    long as each makes progress. Without progress, and where a job has failed, there are `MAX_ATTEMPTS` tries.
    What the user has cancelled is left alone.
    """

    def __init__(self, study: Study, root: Path, queue: Queue, settings: EngineSettings) -> None:
        self._study, self._root, self._queue, self._settings = study, root, queue, settings
        self._chains: dict[str, list[Job]] = {}
        for job in study.jobs:
            self._chains.setdefault(job.search or job.name, []).append(job)
        self._watched: dict[str, Progress] = {}
        # Judged at the next look, since a shared folder may be seconds behind; Slurm may not know it then.
        self._ended: dict[str, Task | None] = {}
        self._attempts: Counter[str] = Counter()
        self._given_up: set[str] = set()
        self._shown = ""
        self._completed = {item.job.name for item in study_status(study, root) if item.is_completed}
        _say(f"study {study.name}: {len(study.jobs)} jobs, {len(self._completed)} completed before")

    def run(self) -> None:
        """Submit and watch until nothing is left to wait for."""
        is_going_on = self._step(self._queue.tasks())
        while is_going_on:
            time.sleep(self._settings.slurm.interval)
            try:
                tasks = self._queue.tasks()
            except SlurmError as error:  # its daemon may be starting again; tasks do not depend on it
                self._show(str(error))
            else:
                is_going_on = self._step(tasks)

    def _step(self, tasks: dict[str, Task]) -> bool:
        """Act on what Slurm and the study's folder say; whether there is something left to wait for."""
        statuses = study_status(self._study, self._root)
        unfinished = {item.job.search or item.job.name for item in statuses if not item.is_completed}
        active = {name: task for name, task in tasks.items() if name in unfinished and task.is_active}
        ended = {name for name in self._watched if name in unfinished and name not in active}
        for search in ended & self._ended.keys():
            self._judge(search, self._watched.pop(search), tasks.get(search) or self._ended[search])
        self._ended = {search: tasks.get(search) for search in ended - self._ended.keys()}
        for search in active:
            if search not in self._watched:
                self._watched[search] = self._progress(search)
        waiting = unfinished - {*active, *self._ended, *self._given_up}
        self._report(statuses, active.values())
        self._submit(sorted(waiting, key=self._queue.numbers.__getitem__), len(active) + len(self._ended))
        return bool(active or self._ended or waiting)

    def _judge(self, search: str, before: Progress, task: Task | None) -> None:
        """Decide whether a search whose task has ended before all its jobs were completed is tried again."""
        found = [job_status(job, self._root) for job in self._chains[search]]
        failed = {item.job.name for item in found if item.status == FAILED}
        interrupted = [
            item for item in found if not item.is_completed and not {item.job.name, item.job.search} & failed
        ]
        if task is not None and task.state == CANCELLED:
            self._given_up.add(search)
            verdict = "not submitted again by this command"
        elif interrupted and before != self._progress(search):
            del self._attempts[search]
            verdict = "submitted again, since it made progress"
        else:
            self._attempts[search] += 1
            why = "no progress" if interrupted else f"failed: {', '.join(sorted(failed))}"
            verdict = f"{why}; try {self._attempts[search]} of {MAX_ATTEMPTS}"
            if self._attempts[search] >= MAX_ATTEMPTS:
                self._given_up.add(search)
        ended = f"task {task.name} {task.state}, " if task else ""
        _say(f"{search}: {ended}{verdict}; {self._queue.last_words(search)}".rstrip("; "))

    def _submit(self, searches: list[str], active: int) -> None:
        """Submit what there is room for.

        Everything is one array at first, which Slurm keeps within the limit of tasks at a time. Later arrays
        take the places that are left, so that the limit holds for all of them together.
        """
        limit = self._settings.concurrency
        places = max(0, limit - active) if active else len(searches)
        if not searches or not places:
            return
        try:
            try:
                self._sbatch(searches[:places])
            except SlurmError as error:  # a site may limit the tasks that a user has in the queue
                if places <= limit or "limit" not in str(error):
                    raise
                self._sbatch(searches[:limit])
        except SlurmError as error:
            if not active:
                raise
            self._show(str(error))

    def _sbatch(self, searches: list[str]) -> None:
        progress = {search: self._progress(search) for search in searches}
        command = task_command(self._root)
        submitted = self._queue.submit(searches, self._settings.concurrency, self._settings.slurm, command)
        self._watched |= {search: progress[search] for search in submitted}
        _say(f"submitted {len(submitted)} tasks as {self._queue.name}")

    def _progress(self, search: str) -> Progress:
        """Completed jobs, checkpoints and evaluated candidates of a search and its transfers."""
        found: list[object] = []
        for job in self._chains[search]:
            folder = job.folder(self._root)
            found.append(job_status(job, self._root).is_completed)
            for path in sorted([*folder.glob("checkpoints/*.pt"), *folder.glob("candidates.jsonl")]):
                with contextlib.suppress(FileNotFoundError):  # only the best checkpoints are kept
                    state = path.stat()
                    found += [path.name, state.st_mtime_ns, state.st_size]
        return tuple(found)

    def _report(self, statuses: list[JobStatus], active: Collection[Task]) -> None:
        """Print what was completed, and the numbers of tasks where they have changed."""
        for item in statuses:
            if item.is_completed and item.job.name not in self._completed:
                self._completed.add(item.job.name)
                top1 = (item.summary or {}).get("top1")
                result = "completed" if top1 is None else f"top1 {top1:.2f}"
                _say(f"[{len(self._completed)}/{len(statuses)}] {item.job.kind} {item.job.name}: {result}")
        if active:
            self._show(f"Slurm: {counted(active)}")

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._shown = line
            _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
