"""How far a study is: what runs where, what has failed, and the time left."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nastransfer_nni.base.format import duration
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.design import BASELINE
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.study.status import COMPLETED, FAILED, INTERRUPTED, RUNNING, WAITING, JobStatus

STATES = (COMPLETED, RUNNING, WAITING, INTERRUPTED, FAILED)
LOG_LINES = 12
"""Lines at the end of a failed job's log that are shown."""
LOG_BYTES = 16_384
"""Bytes at the end of a log in which its last lines are looked for."""


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A job that runs.

    Attributes:
        job: the job.
        where: host and process.
        since: when it was started or resumed, in seconds since 1970; None where that is not known.
        until: when it is expected to end; None while no job of its kind is completed.
        line: last line of its log.
    """

    job: Job
    where: str
    since: float | None
    until: float | None
    line: str


@dataclass(frozen=True, kw_only=True)
class StoppedJob:
    """A job that has failed or was interrupted.

    Attributes:
        job: the job.
        why: reason of a failure.
        log: file with its output.
        lines: the last lines of it.
    """

    job: Job
    why: str
    log: Path
    lines: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """State of a study at a time.

    Attributes:
        counts: for searches and transfers the number of jobs in each of `STATES`.
        running: the jobs that run.
        failed: the jobs that have failed.
        interrupted: the jobs that were interrupted; the study's next run resumes them.
        end: when the study is expected to end, in seconds since 1970; None where that is not known.
        basis: in words, how long that is and what the estimate rests on.
    """

    counts: dict[str, Counter[str]]
    running: list[RunningJob]
    failed: list[StoppedJob]
    interrupted: list[StoppedJob]
    end: float | None
    basis: str

    @property
    def completed(self) -> int:
        """Number of completed jobs."""
        return sum(counts[COMPLETED] for counts in self.counts.values())

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(counts.total() for counts in self.counts.values())


def progress(statuses: Sequence[JobStatus], root: Path, now: float) -> Progress:
    """State of a study.

    Args:
        statuses: status of every job.
        root: folder of the study.
        now: the time, in seconds since 1970.
    """
    times = Times(statuses, root)
    running = [_running(item.job, root, times) for item in statuses if item.status == RUNNING]
    left = [item.job for item in statuses if item.status in (WAITING, INTERRUPTED)]
    end, basis = _outlook(left, running, times, now)
    return Progress(
        counts={
            kind: Counter(item.status for item in statuses if item.job.kind == kind)
            for kind in ("search", "transfer")
        },
        running=running,
        failed=[_stopped(item, root) for item in statuses if item.status == FAILED],
        interrupted=[_stopped(item, root) for item in statuses if item.status == INTERRUPTED],
        end=end,
        basis=basis,
    )


def describe(job: Job, searches: Mapping[str, SearchConfig]) -> str:
    """A job in words: strategy, proxy and seed of its search, and the target of a transfer.

    Args:
        job: the job.
        searches: options of the study's searches by their names; what is the source of all is not said.
    """
    search = searches[job.search or job.name]
    place = search.proxy.text
    if len({each.source.text for each in searches.values()}) > 1:
        place = f"{search.source.text} / {place}"
    found_on = "" if search.strategy.text == BASELINE else f" on {place}"
    words = f"{search.strategy.text}{found_on}, seed {search.seed}"
    if isinstance(job.config, SearchConfig):
        return f"Search {words}"
    return f"Transfer to {job.config.target.text}: {words}"


class Times:
    """How long jobs take, by what is completed.

    Args:
        statuses: status of every job of a study.
        root: folder of the study.
    """

    def __init__(self, statuses: Sequence[JobStatus], root: Path) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = {}
        self.known = 0
        for item in statuses:
            seconds = _seconds(item, root) if item.is_completed else None
            if seconds is not None:
                self.known += 1
                for key in _keys(item.job):
                    self._seconds.setdefault(key, []).append(seconds)

    def expected(self, job: Job) -> float | None:
        """Mean of the jobs that resemble this one most; None while none of its kind is completed."""
        found = next((self._seconds[key] for key in _keys(job) if key in self._seconds), None)
        return statistics.fmean(found) if found else None


def _keys(job: Job) -> Iterator[tuple[str, ...]]:
    """What the time of a job depends on, from the closest to the mere kind."""
    if isinstance(job.config, SearchConfig):
        yield job.kind, job.config.strategy.text, job.config.source.text, job.config.proxy.text
        yield job.kind, job.config.strategy.text
    else:
        yield job.kind, job.config.target.text
    yield (job.kind,)


def _seconds(item: JobStatus, root: Path) -> float | None:
    """Time that a completed job took, from its start or latest resumption; None for one done elsewhere."""
    folder, summary = item.job.folder(root), item.summary or {}
    stated = summary.get("search_seconds" if item.job.kind == "search" else "train_seconds")
    try:
        taken = (folder / "status.json").stat().st_mtime - (folder / "config.yaml").stat().st_mtime
    except OSError:
        return None
    return max(taken, float(stated or 0))


def _running(job: Job, root: Path, times: Times) -> RunningJob:
    status = read_object(job.folder(root) / "status.json") or {}
    try:
        since = datetime.fromisoformat(str(status.get("at"))).timestamp()
    except ValueError:
        since = None
    expected = times.expected(job)
    return RunningJob(
        job=job,
        where=f"{status.get('host', '')}, process {status.get('pid', '')}",
        since=since,
        until=None if since is None or expected is None else since + expected,
        line=last_lines(job.log(root), 1),
    )


def _stopped(item: JobStatus, root: Path) -> StoppedJob:
    log = item.job.log(root)
    return StoppedJob(job=item.job, why=item.why, log=log, lines=last_lines(log, LOG_LINES))


def _outlook(
    left: Sequence[Job], running: Sequence[RunningJob], times: Times, now: float
) -> tuple[float | None, str]:
    """When the study ends, and what that rests on."""
    if not left and not running:
        return None, ""
    if not times.known:
        return None, "The time left is not known before the first job is completed."
    expected = [times.expected(job) for job in left]
    rest = [max(0.0, each.until - now) if each.until is not None else None for each in running]
    unknown = sum(seconds is None for seconds in (*expected, *rest))
    seconds = sum(seconds for seconds in (*expected, *rest) if seconds is not None) / max(1, len(running))
    basis = (
        f"from the mean times of the {times.known} completed jobs, where possible of the same strategy and "
        "proxy, or of the same target"
    )
    if unknown:
        basis += f"; without {unknown} jobs of a kind of which none is completed yet"
    if not running:
        return None, f"Nothing runs. About {duration(seconds)} are left with one job at a time, {basis}."
    at_a_time = f"{len(running)} jobs" if len(running) > 1 else "one job"
    return now + seconds, f"About {duration(seconds)} are left with {at_a_time} at a time, {basis}."


def last_lines(log: Path, count: int) -> str:
    """The last lines of a log that are not blank; empty where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])
