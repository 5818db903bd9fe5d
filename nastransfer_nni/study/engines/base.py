"""The interface of an engine, which runs the jobs of a study, and the registry of engines.

An engine is a module in this folder with a class that is decorated with `@register("name")`, and the line in
`__init__.py` that imports it:

    @register("one-by-one")
    class OneByOne:
        summary = "one job after the other in this process"
        options = ()

        def run(self, study: Study, root: Path, settings: EngineSettings) -> list[JobStatus]:
            for job in study.jobs:
                run_job(job, root)
            return study_status(study, root)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from nastransfer_nni.base.environment import available_cores
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.slurm_options import SlurmOptions
from nastransfer_nni.study.status import JobStatus


@dataclass(frozen=True)
class EngineSettings:
    """What the user chose for a study's run.

    Attributes:
        concurrency: number of jobs at a time.
        training_service: YAML file that describes NNI's training service; None: this machine.
        port: port of NNI's web UI.
        slurm: what a task of Slurm gets.
    """

    concurrency: int = 1
    training_service: str | None = None
    port: int = 8080
    slurm: SlurmOptions = field(default_factory=SlurmOptions)


class Engine(Protocol):
    """Runs the jobs of a study, in this process, in others or on other machines.

    Attributes:
        summary: one line for `study run --help`: where the jobs run.
        options: options of `study run`, besides `concurrency`, that the engine reads; others are refused.
    """

    summary: str
    options: tuple[str, ...]

    def run(self, study: Study, root: Path, settings: EngineSettings) -> list[JobStatus]:
        """Run every job that is not completed yet, a transfer after its search.

        A job that fails is tried again, `schedule.MAX_ATTEMPTS` times in all; only its transfers are not run.

        Args:
            study: the study.
            root: folder of the study; it exists.
            settings: what the user chose.

        Returns:
            The status of every job, in the study's order.

        Raises:
            UserError: the jobs cannot be started.
            KeyboardInterrupt: interrupted; jobs of this process have been told to save their state, and those
                of a cluster stay there.
        """


ENGINES: dict[str, Engine] = {}
"""The engines by name."""

_EngineClass = TypeVar("_EngineClass", bound=type)


def register(name: str) -> Callable[[_EngineClass], _EngineClass]:
    """Decorator of an engine's class that makes it known as `name`.

    Raises:
        ValueError: the name is taken.
    """

    def add(engine: _EngineClass) -> _EngineClass:
        if name in ENGINES:
            raise ValueError(f"there are two engines named {name!r}")
        ENGINES[name] = engine()
        return engine

    return add


def thread_variables(concurrency: int) -> dict[str, str]:
    """Environment variables that share this machine's cores among `concurrency` jobs.

    torch and OpenMP read them when they start. Where the user has set OMP_NUM_THREADS, it stays as it is.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, available_cores() // concurrency))}
