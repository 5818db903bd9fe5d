"""What the study commands do: plan, run and watch a whole study from one file."""

from __future__ import annotations

import os

from nastransfer_nni.study.config import ChainConfig, PlanConfig, RunConfig, StudyConfig
from nastransfer_nni.study.design import Study
from search_spaces.errors import UserError


def plan(config: PlanConfig) -> None:
    """Print what a study will run, what it will cost and what it can detect."""
    study = Study.read(config.file)
    from nastransfer_nni.study.plan import describe

    print(describe(study, config.root, config.images_per_second, config.deviation, config.jobs))


def run(config: RunConfig) -> None:
    """Run a study, or go on with it."""
    study = Study.read(config.file)
    from nastransfer_nni.study import status

    if config.engine == "nni":
        from nastransfer_nni.study.engines import nni_trials

        standings = nni_trials.run(
            study, config.file, config.root, config.workers, config.training_service, config.port
        )
    else:
        from nastransfer_nni.study.engines import local

        threads = max(1, (os.cpu_count() or 1) // config.workers)
        standings = local.run(study, config.root, config.workers, threads)
    print(status.overview(study, config.root))
    missing = [item for item in standings if item.status != status.FINISHED]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(standings)} jobs are not complete; the same command tries again"
        )
    print(f"next: python -m nastransfer_nni.report {config.root} --out report")


def status(config: StudyConfig) -> None:
    """Print how a study stands."""
    from nastransfer_nni.study.status import overview

    print(overview(Study.read(config.file), config.root))


def chain(config: ChainConfig) -> None:
    """Run one search of a study with its transfers: what a trial of `study run --engine nni` does."""
    from nastransfer_nni.study.engines.nni_trials import chain as run_chain

    run_chain(Study.read(config.file), config.root, config.search)
