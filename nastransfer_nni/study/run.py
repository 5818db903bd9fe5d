"""What the study commands do."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.base.files import replacing
from nastransfer_nni.base.paths import expanded, names_from
from nastransfer_nni.study import record, status
from nastransfer_nni.study.config import (
    ChainConfig,
    PlanConfig,
    RunConfig,
    StatusConfig,
    StudyConfig,
    TableConfig,
)
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.disjoint import require_disjoint
from nastransfer_nni.study.earlier import take_over
from nastransfer_nni.study.engines import ENGINES, nni_trials
from nastransfer_nni.study.engines.chain import run_logged
from nastransfer_nni.tabular import design as tables
from search_spaces.errors import UserError


def plan(config: PlanConfig) -> str:
    """The jobs of a study, their cost and the differences that its design can detect, as text."""
    if tables.content(config.file):
        tables.refuse_options(config.file, config.model_fields_set)
        from nastransfer_nni.tabular import run as tabular  # imports pandas, which takes seconds

        return tabular.plan(config.file)
    study, root = _opened(config)
    from nastransfer_nni.study.plan import describe  # imports torch, which takes seconds
    from nastransfer_nni.study.power import Pilot, assumed_spread

    pilot = Pilot.read(config.pilot, study) if config.pilot else None
    with names_from(study.folder):
        return describe(
            study,
            root,
            images_per_second=config.images_per_second,
            spread=assumed_spread(config, pilot),
            pilot=pilot,
            effect=config.effect,
            list_jobs=config.jobs,
        )


def print_plan(config: PlanConfig) -> None:
    """Print the plan of a study."""
    print(plan(config))


def run(config: RunConfig) -> Path:
    """Run a study, or resume it, and print its status.

    Returns:
        The folder of the study.

    Raises:
        UserError: something that the user can fix, or jobs that have failed.
    """
    if tables.content(config.file):
        tables.refuse_options(config.file, config.model_fields_set)
        from nastransfer_nni.tabular import run as tabular  # imports pandas, which takes seconds

        return tabular.run(config.file, config.out)
    study, root = _opened(config)
    require_disjoint(study)
    try:
        root.mkdir(parents=True, exist_ok=True)
        record.write(study, root)
        if config.from_table is not None:
            print(take_over(expanded(config.from_table), study, root, study.rules))
    except OSError as error:
        raise UserError(f"--out {root}: {error.strerror}") from None
    statuses = ENGINES[config.engine].run(study, root, config.settings)
    print(status.overview(study, root))
    missing = sum(not item.is_completed for item in statuses)
    if missing:
        raise UserError(f"{missing} of {len(statuses)} jobs are not completed; the same command tries again")
    print(f"next: python -m nastransfer_nni.report {root} --out report")
    return root


def write_table(config: TableConfig) -> None:
    """Write the results table of a study's completed transfers, and push it to the Hub if asked to.

    Raises:
        UserError: no transfer is completed, the file cannot be written, or the Hub refuses.
    """
    from nastransfer_nni.report.collect import collect  # imports pandas, which takes seconds
    from nastransfer_nni.report.statistics import csv_file

    study, root = _opened(config)
    found, path = collect(root), expanded(config.to)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        csv_file.require_columns(path, found.rows.columns)
        with replacing(path) as scratch:
            found.rows.to_csv(scratch, index=False)
    except OSError as error:
        raise UserError(f"--to {path}: {error.strerror}") from None
    print("\n".join([f"{path}: {len(found.rows)} transfers", *found.notes]))
    if config.push_to_hub is not None:
        from nastransfer_nni.study.publish import push_table

        print(push_table(found, study, config).text)


def print_status(config: StatusConfig) -> None:
    """Print the status of a study's jobs, and write the page of its status if that is asked for.

    Raises:
        UserError: the page cannot be written.
    """
    if tables.content(config.file):
        tables.refuse_options(config.file, config.model_fields_set)
        from nastransfer_nni.tabular import run as tabular  # imports pandas, which takes seconds

        print(tabular.status(config.file, config.out))
        return
    study, root = _opened(config)
    print(status.overview(study, root))
    if config.html:
        from nastransfer_nni.study import live  # imports pandas and Matplotlib, which takes seconds

        live.watch(study, root, config.every)


def chain(config: ChainConfig) -> None:
    """Run one search of a study with its transfers, as a trial of NNI or a task of Slurm does."""
    study, root = _opened(config)
    run_chain = run_logged if config.logs else nni_trials.chain
    run_chain(study, root, config.search)


def _opened(config: StudyConfig) -> tuple[Study, Path]:
    """The study of a file, by the rules of its folder, and that folder."""
    study = record.open_study(config.file)
    root = config.folder(study)
    return record.as_begun(study, root), root
