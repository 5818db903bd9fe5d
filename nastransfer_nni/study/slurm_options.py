"""Options of Slurm, as `study run --engine slurm` takes them and as sbatch does."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from search_spaces.errors import UserError

OURS = (
    "array",
    "error",
    "job-name",
    "no-requeue",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "signal",
    "wait",
    "wrap",
)
"""Options of sbatch that the engine sets, or that would break it."""
TYPED = {
    "account": "account",
    "cpus-per-task": "cpus",
    "gpus": "gpus",
    "mem": "mem",
    "partition": "partition",
    "time": "time",
}
"""Options of sbatch that have one of their own here."""
UNLIMITED = ("infinite", "unlimited")


def seconds(text: str) -> float:
    """The time limit `text` in seconds.

    Args:
        text: a limit that sbatch takes: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
            days-hours:minutes, days-hours:minutes:seconds, or infinite.

    Raises:
        UserError: it is none of these.
    """
    if text.lower() in UNLIMITED:
        return float("inf")
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        raise UserError("must be a time limit of Slurm, such as 90 (minutes), 12:00:00 or 2-12 (days-hours)")
    days, *parts = (None if part is None else int(part) for part in found.groups())
    numbers = [part for part in parts if part is not None]
    if days is not None:
        units: tuple[int, ...] = (3600, 60, 1)
    else:
        units = {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(numbers)]
    return (days or 0) * 86_400 + sum(number * unit for number, unit in zip(numbers, units, strict=False))


def _time(text: str) -> str:
    seconds(text)
    return text


def _matching(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise UserError(f"must be written as Slurm does, such as {example}")
        return text

    return AfterValidator(check)


def _sbatch(text: str) -> str:
    for word in _words(text):
        found = re.fullmatch(r"--([a-z][a-z-]*)(=.*)?", word)
        if found is None:
            raise UserError("must be options with their values, as in 'qos=long exclude=node7,node8'")
        if found[1] in TYPED:
            raise UserError(f"--{found[1]} has an option of its own here: --{TYPED[found[1]]}")
        if found[1] in OURS:
            raise UserError(f"--{found[1]} of sbatch is set by this engine")
    return text


def _words(text: str) -> list[str]:
    """Options of sbatch, with their dashes."""
    try:
        return ["--" + word.removeprefix("--") for word in shlex.split(text)]
    except ValueError as error:
        raise UserError(str(error).lower()) from None


class SlurmOptions(Config):
    """What a task of Slurm gets, and how often its queue is looked at."""

    partition: str | None = Field(None, description="Slurm's partition; None: the cluster's default")
    account: str | None = Field(None, description="Slurm's account that tasks are charged to")
    time: Annotated[str, AfterValidator(_time)] | None = Field(
        None,
        description="time limit of a task of Slurm, as in 90 (minutes), 12:00:00 or 2-12 (days-hours); a new "
        "task resumes what one has not completed; None: the partition's",
    )
    gpus: Annotated[str, _matching(r"([A-Za-z][\w.-]*:)?\d+", "1 or a100:1")] | None = Field(
        None, description="GPUs of a task of Slurm, as in 1 or a100:1; a job uses one"
    )
    cpus: int | None = Field(
        None, ge=1, description="processor cores of a task of Slurm; None: the cluster's default"
    )
    mem: Annotated[str, _matching(r"\d+[KMGTkmgt]?", "16G")] | None = Field(
        None, description="memory of a task of Slurm, as in 16G; None: the cluster's default"
    )
    sbatch: Annotated[str, AfterValidator(_sbatch)] = Field(
        "", description="further options of Slurm's sbatch, as in 'qos=long exclude=node7,node8'"
    )
    save_seconds: int = Field(
        60,
        ge=0,
        description="seconds before its time limit at which a task of Slurm is asked to save its state and "
        "to end; 0: at the limit, when Slurm leaves it KillWait seconds",
    )
    interval: float = Field(
        60, ge=1, description="seconds from one look at Slurm's queue, one squeue for all tasks, to the next"
    )

    @model_validator(mode="after")
    def _has_time_to_work(self) -> Self:
        if self.time is not None and seconds(self.time) <= self.save_seconds:
            raise UserError(f"--time {self.time} is over before --save-seconds {self.save_seconds}")
        return self

    @property
    def arguments(self) -> list[str]:
        """The options of sbatch that say what a task gets."""
        flags = {
            "partition": self.partition,
            "account": self.account,
            "time": self.time,
            "gpus": self.gpus,
            "cpus-per-task": self.cpus,
            "mem": self.mem,
        }
        given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
        if self.save_seconds:
            given.append(f"--signal=B:TERM@{self.save_seconds}")
        return [*given, *_words(self.sbatch)]
