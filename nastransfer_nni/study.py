"""`python -m nastransfer_nni.study`: plan, run and watch a whole study from one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from nastransfer_nni import cli
from nastransfer_nni.config import Config
from nastransfer_nni.errors import UserError
from nastransfer_nni.studies.design import Study


class StudyConfig(Config):
    """What every study command takes."""

    file: str = Field(description="study file (YAML); experiments/study_digits.yml is one to start from")
    out: str | None = Field(None, description="the study's folder; None: runs/<its name>")

    @property
    def root(self) -> Path:
        """The study's folder."""
        if self.out is not None:
            return Path(self.out)
        return Path(os.environ.get("NASTRANSFER_RUNS", "runs")) / Study.read(self.file).name


class PlanConfig(StudyConfig):
    """Options of `study plan`."""

    images_per_second: float | None = Field(
        None, gt=0, description="speed to reckon with, such as a GPU's; None: measure this machine"
    )
    deviation: float = Field(
        0.23, gt=0, description="standard deviation of top1 between runs, for the power; 0.23: CIFAR-10's"
    )
    jobs: bool = Field(False, description="list every job")


class RunConfig(StudyConfig):
    """Options of `study run`."""

    workers: int = Field(1, ge=1, description="jobs at a time; processor cores are shared among them")
    engine: Literal["local", "nni"] = Field("local", description="processes of this machine, or NNI trials")
    training_service: str | None = Field(
        None, description="YAML file with NNI's trainingService; None: NNI's local one"
    )
    port: int = Field(8080, ge=1, le=65535, description="of NNI's web UI")


class ChainConfig(StudyConfig):
    """Options of `study chain`."""

    search: str = Field("", description="name of the search, as `study plan --jobs` lists it")


def plan(config: PlanConfig) -> None:
    """Print what a study will run, what it will cost and what it can detect."""
    study = Study.read(config.file)
    from nastransfer_nni.studies.planning import describe

    print(describe(study, config.root, config.images_per_second, config.deviation, config.jobs))


def run(config: RunConfig) -> None:
    """Run a study, or go on with it."""
    study = Study.read(config.file)
    from nastransfer_nni.studies import progress

    if config.engine == "nni":
        from nastransfer_nni.studies import service

        standings = service.run(
            study, config.file, config.root, config.workers, config.training_service, config.port
        )
    else:
        from nastransfer_nni.studies import local

        threads = max(1, (os.cpu_count() or 1) // config.workers)
        standings = local.run(study, config.root, config.workers, threads)
    print(progress.overview(study, config.root))
    missing = [item for item in standings if item.status != progress.FINISHED]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(standings)} jobs are not complete; the same command tries again"
        )
    print(f"next: python -m nastransfer_nni.report {config.root} --out report")


def status(config: StudyConfig) -> None:
    """Print how a study stands."""
    from nastransfer_nni.studies.progress import overview

    print(overview(Study.read(config.file), config.root))


def chain(config: ChainConfig) -> None:
    """Run one search of a study with its transfers: what a trial of `study run --engine nni` does."""
    from nastransfer_nni.studies.service import chain as run_chain

    run_chain(Study.read(config.file), config.root, config.search)


_RUN = "python -m nastransfer_nni.study"
_FILE = "experiments/study_digits.yml"
COMMANDS: cli.Commands = {
    name: cli.Command(
        summary,
        config,
        f"nastransfer_nni.study:{name}",
        ("file",),
        (f"{_RUN} {name} {_FILE}{more}",),
        tuned=name == "chain",
    )
    for name, summary, config, more in (
        ("plan", "List a study's runs, their cost and the power of its design.", PlanConfig, ""),
        ("run", "Run a study, or go on with it.", RunConfig, " --workers 2"),
        ("status", "Show how a study stands.", StudyConfig, ""),
        ("chain", "Run one search of a study with its transfers.", ChainConfig, " --search random-seed0"),
    )
}

if __name__ == "__main__":
    from nastransfer_nni.study import COMMANDS as STUDY

    cli.main(_RUN, STUDY)
