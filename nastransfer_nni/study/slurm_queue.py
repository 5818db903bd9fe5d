"""A study's tasks in Slurm: which search each of them runs, how they are submitted, and where they are.

Every search of a study has a fixed number, its line in `slurm/searches.txt` of the study's folder. A task of
a job array has the number of its search as index, and all arrays of a study have one name. So a single squeue
shows everything that is queued, whoever has submitted it and whatever became of that process.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nastransfer_nni.base.files import digest, write_text
from nastransfer_nni.study.slurm_options import SlurmOptions
from search_spaces.errors import UserError

ARRAY_SIZE = 1000
"""Indices of an array: Slurm's default `MaxArraySize`, which few sites lower, allows 0 to 1000."""
ANSWER_SECONDS = 120.0
"""Time that a command of Slurm has to answer."""
CANCELLED = "CANCELLED"
ENDED = (
    "BOOT_FAIL",
    CANCELLED,
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
"""States after which a task does not run again. squeue shows them for some minutes, five by default."""
_FORMAT = "%F|%K|%j|%T|%N|%r"


class SlurmError(UserError):
    """A command of Slurm has refused, or has not answered."""


@dataclass(frozen=True)
class Task:
    """A task of a job array.

    Attributes:
        job: number of the array, as `scancel` takes it.
        index: index in the array.
        state: Slurm's state, such as PENDING.
        node: machine that runs it; empty before.
        reason: why it is pending, such as Priority.
    """

    job: str
    index: int
    state: str
    node: str
    reason: str

    @property
    def name(self) -> str:
        """The task's number, as `scancel` takes it."""
        return f"{self.job}_{self.index}"

    @property
    def is_active(self) -> bool:
        """Whether the task is queued or runs."""
        return self.state not in ENDED

    @property
    def is_running(self) -> bool:
        """Whether the task has a machine."""
        return self.is_active and bool(self.node)


def require_slurm() -> None:
    """Refuse a machine without Slurm's commands.

    Raises:
        UserError: names the command that is missing.
    """
    for command in ("sbatch", "squeue"):
        if shutil.which(command) is None:
            raise UserError(
                f"--engine slurm needs {command}, which is not on this machine's PATH; run it on a login node"
            )


class Queue:
    """The tasks of one study.

    Args:
        name: name of the study.
        root: folder of the study.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.root = root.resolve()
        self.name = f"{name}-{digest(str(self.root), 8)}"
        self.searches_file = self.root / "slurm" / "searches.txt"
        self.searches = _lines(self.searches_file)
        self.numbers = {search: number for number, search in enumerate(self.searches)}

    def add(self, searches: Sequence[str]) -> None:
        """Give each of the searches a number; those that have one keep it."""
        self.searches += [search for search in searches if search not in self.numbers]
        self.numbers = {search: number for number, search in enumerate(self.searches)}
        self.searches_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.searches_file, "".join(f"{search}\n" for search in self.searches))

    def tasks(self) -> dict[str, Task]:
        """The newest task of every search that Slurm knows; one that is queued or runs before any other.

        Raises:
            SlurmError: squeue does not answer.
        """
        arrays = [self._array_name(start) for start in range(0, len(self.searches), ARRAY_SIZE)]
        found: dict[str, Task] = {}
        lines = _answer(
            "squeue",
            "--noheader",
            "--array",
            f"--user={os.getuid()}",
            f"--name={','.join(arrays)}",
            "--states=all",
            f"--format={_FORMAT}",
        ).splitlines()
        for parts in (line.strip().split("|", 5) for line in lines):
            if len(parts) < 6 or parts[2] not in arrays or not parts[1].isdigit():
                continue  # a warning
            job, index, array, state, node, reason = parts
            number = arrays.index(array) * ARRAY_SIZE + int(index)
            if number < len(self.searches):
                search, task = self.searches[number], Task(job, int(index), state, node, reason)
                if search not in found or _rank(task) > _rank(found[search]):
                    found[search] = task
        return found

    def submit(
        self, searches: Sequence[str], concurrency: int, options: SlurmOptions, command: str
    ) -> list[str]:
        """Submit an array with a task for each of `searches`, as far as they fit into one.

        Args:
            searches: names of the searches, which have been added.
            concurrency: tasks of the array that may run at a time.
            options: what a task gets.
            command: shell command of a task; `$search` is the name of its search.

        Returns:
            The searches that were submitted.

        Raises:
            SlurmError: sbatch refuses.
        """
        numbers = sorted(self.numbers[search] for search in searches)
        start = numbers[0] - numbers[0] % ARRAY_SIZE
        numbers = [number for number in numbers if number < start + ARRAY_SIZE]
        logs = self.root / "logs"
        logs.mkdir(exist_ok=True)
        file = shlex.quote(str(self.searches_file))
        script = "\n".join(
            [
                "#!/bin/bash",
                f"search=$(sed -n $((SLURM_ARRAY_TASK_ID + {start + 1}))p {file})",
                "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_ON_NODE:-1}}",
                f"exec {command}",  # Slurm signals the batch process, which is the command then
                "",
            ]
        )
        _answer(
            "sbatch",
            f"--job-name={self._array_name(start)}",
            f"--array={','.join(str(number - start) for number in numbers)}%{concurrency}",
            f"--output={str(logs).replace('%', '%%')}/{_log_prefix(start)}%A_%a.txt",
            "--open-mode=append",
            "--requeue",
            *options.arguments,
            script=script,
        )
        return [self.searches[number] for number in numbers]

    def last_words(self, search: str) -> str:
        """Last line in the newest log of a search's tasks, such as Slurm's on a time limit, and the log."""
        number = self.numbers[search]
        pattern = f"{_log_prefix(number)}[0-9]*_{number % ARRAY_SIZE}.txt"
        logs = sorted((self.root / "logs").glob(pattern), key=lambda path: path.stat().st_mtime)
        lines = _lines(logs[-1]) if logs else []
        return f"{lines[-1].strip()} (log: {logs[-1]})" if lines else ""

    def _array_name(self, start: int) -> str:
        return f"{self.name}.{start // ARRAY_SIZE}" if start else self.name


def _log_prefix(number: int) -> str:
    """How names of logs begin that tasks of the array write which has the search of this number."""
    array = number // ARRAY_SIZE
    return f"slurm.{array}-" if array else "slurm-"


def counted(tasks: Iterable[Task]) -> str:
    """How many tasks run and how many are pending, with Slurm's reasons, in words."""
    active = [task for task in tasks if task.is_active]
    running = sum(task.is_running for task in active)
    reasons = Counter(task.reason for task in active if not task.is_running)
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{running} running, {reasons.total()} pending" + (f" ({why})" if why else "")


def overview(name: str, root: Path, unfinished: Sequence[str]) -> list[str]:
    """Lines on the tasks of a study for `study status`; none where Slurm has never run it, or is not here.

    Args:
        name: name of the study.
        root: folder of the study.
        unfinished: searches that are not completed with their transfers.
    """
    queue = Queue(name, root)
    if not queue.searches or shutil.which("squeue") is None:
        return []
    try:
        tasks = queue.tasks()
    except SlurmError as error:
        return [f"  Slurm: {error}"]
    active = {search: tasks[search] for search in unfinished if search in tasks and tasks[search].is_active}
    lines = [f"  Slurm, {queue.name}: {counted(active.values())}"] if active else []
    lines += [f"    {task.name} on {task.node}: {name}" for name, task in active.items() if task.is_running]
    for search in unfinished:
        if search in queue.numbers and search not in active and (words := queue.last_words(search)):
            lines.append(f"  ended in Slurm: {search}: {words}")
    return lines


def _rank(task: Task) -> tuple[bool, int]:
    return task.is_active, int(task.job)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", errors="replace").splitlines()
    return []


def _answer(command: str, *arguments: str, script: str | None = None) -> str:
    """What a command of Slurm prints.

    Variables of a task are left out, so that a study which runs inside one does not pass its own limits on.

    Raises:
        SlurmError: it refuses, does not answer, or is not there.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLURM_") or name == "SLURM_CONF"
    }
    try:
        ran = subprocess.run(
            [command, *arguments],
            input=script,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command} has not answered for {ANSWER_SECONDS:.0f} seconds") from None
    except OSError as error:
        raise SlurmError(f"{command}: {error.strerror}") from None
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()] or ["it failed"]
        raise SlurmError(f"{command}: " + re.sub(rf"^{command}: (error: )?", "", lines[-1].strip()))
    return ran.stdout
