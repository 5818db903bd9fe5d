"""Pilots: how reliable one training of a cell is, and what it costs, in several settings.

Random cells are trained several times in each setting. They come from seeds that no study has, so that none
of them is ever part of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nastransfer_nni.base.reading import parse_yaml, read_object
from nastransfer_nni.study.config import PilotConfig
from nastransfer_nni.study.design import MAX_JOBS, Study
from nastransfer_nni.study.engines import EngineSettings
from nastransfer_nni.study.engines.local import LocalEngine
from nastransfer_nni.study.jobs import Job, slug
from nastransfer_nni.study.record import open_study
from search_spaces.errors import UserError

FIRST_SEED = MAX_JOBS
"""Random seed of the first cell: a study has at most `MAX_JOBS` random cells, of the seeds from 0 on."""
UNCHANGED = "as in the file"
HEADER = "cells   top1     sd  reliability           s/network  per minute  setting"


@dataclass(frozen=True)
class PilotJobs:
    """The jobs of a pilot.

    Attributes:
        name: name of the pilot.
        jobs: every random cell, each followed by its trainings.
        settings: setting of each training, by the name of its job.
    """

    name: str
    jobs: tuple[Job, ...]
    settings: Mapping[str, str]


def pilot_jobs(config: PilotConfig, study: Study) -> PilotJobs:
    """The jobs of a pilot of `study`.

    Raises:
        UserError: a setting is no list of changes, or does not fit the study.
    """
    variants = dict(_variants(config.settings, study.changed(source_training=False)))
    seeds = tuple(range(config.trainings))
    jobs, settings = [], {}
    for number in range(config.first_cell, config.first_cell + config.cells):
        search = study.random_cell(FIRST_SEED + number)
        jobs.append(search)
        for text, variant in variants.items():
            for job in variant.changed(train_seeds=seeds).transfers(search):
                named = replace(job, name=f"{job.name}--{slug([text])}")
                jobs.append(named)
                settings[named.name] = text
    return PilotJobs(f"{study.name}-pilot", tuple(jobs), settings)


def _variants(text: str, study: Study) -> Iterator[tuple[str, Study]]:
    """The study with the transfer options or the target of each setting."""
    seen = set()
    for words in (setting.strip() for setting in text.split(";")):
        changes = dict(_change(each.strip(), words) for each in words.split(",")) if words else {}
        target = changes.pop("target", None)
        others = {} if target is None else {"targets": [target]}
        variant = study.changed(transfer={**study.transfer, **changes}, **others)
        content = str((variant.transfer, variant.content["targets"]))
        if content in seen:
            raise UserError(f"--settings: {words or UNCHANGED!r} is there twice")
        seen.add(content)
        yield words or UNCHANGED, variant


def _change(text: str, setting: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UserError(f"--settings: {setting!r} is no list of changes such as epochs=5,width=8")
    try:
        return name.strip(), parse_yaml(value)
    except UserError as error:
        raise UserError(f"--settings: {value!r} in {setting!r} {error}") from None


def pilot(config: PilotConfig) -> str:
    """Run a pilot, or what is left of one.

    Returns:
        Its table as text: for each setting the reliability of one training and its cost.

    Raises:
        UserError: something that the user can fix, or jobs that have failed.
    """
    study = open_study(config.file)
    jobs, root = pilot_jobs(config, study), config.folder(study)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {root}: {error.strerror}") from None
    statuses = LocalEngine().run(jobs, root, EngineSettings(concurrency=config.concurrency))
    text = table(jobs, root)
    if missing := sum(not item.is_completed for item in statuses):
        raise UserError(f"{missing} of {len(statuses)} jobs are not completed; the same command tries again")
    return text


def print_pilot(config: PilotConfig) -> None:
    """Run a pilot and print its table."""
    print(pilot(config))


def table(jobs: PilotJobs, root: Path) -> str:
    """The completed trainings of a pilot as a table, one line for each setting.

    Reliability is ICC(1), the share of the variance between networks that is between cells, with its 95%
    interval. Where cells are compared by means, the number of networks that a difference between cells needs
    is inversely proportional to it, so that reliability per second says which setting costs least.

    Args:
        jobs: the jobs of the pilot.
        root: folder of the pilot.
    """
    import pandas as pd  # takes seconds, and a pilot may end with an error before

    from nastransfer_nni.report.statistics.reliability import intraclass, mean_squares

    rows = []
    for job in jobs.jobs:
        summary = read_object(job.folder(root) / "summary.json")
        if job.kind == "transfer" and summary is not None:
            rows.append({**summary, "setting": jobs.settings[job.name], "cell": job.search})
    lines = [HEADER]
    if not rows:
        return lines[0]
    for (setting, target), group in pd.DataFrame(rows).groupby(["setting", "target"], sort=False):
        squares = mean_squares(group["top1"], group["target"], group["cell"])
        found, low, high = intraclass(squares)
        seconds = float(group["cpu_seconds"].median())
        lines.append(
            f"{squares.members:5}  {group['top1'].mean():5.2f}  {group['top1'].std():5.2f}  "
            f"{f'{found:.2f} ({low:.2f} to {high:.2f})':<20}  {seconds:9.1f}  {60 * found / seconds:10.2f}  "
            f"{target}: {setting}"
        )
    return "\n".join(lines)
