"""Continuing a study from its results table, without the runs that the table came from.

A transfer whose row is in the table is done, and so is a search that all its transfers need no more.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nastransfer_nni.base.files import replacing
from nastransfer_nni.report.study_plan import EARLIER
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.jobs import Job, JobList
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError

IDENTITY = ("target", "protocol_hash", "strategy", "source", "proxy", "search_seed", "train_seed")
"""Columns that say which transfer of which search a row is of: the draw of the proxy and the strategy's
options decide its random seed of training."""


def take_over(table: Path, study: JobList, root: Path, rules: str) -> str:
    """Copy the rows of a results table that are transfers of `study` into its folder `root`.

    Rows that were copied before stay.

    Args:
        table: CSV file, as a report or `study table` writes it.
        study: the study.
        root: folder of the study; it exists.
        rules: version by whose rules the study derives its random seeds.

    Returns:
        What was copied, in words.

    Raises:
        UserError: there is no such table, or none of its rows is of the study.
    """
    # they import pandas, which takes seconds
    from nastransfer_nni.report import earlier
    from nastransfer_nni.report.statistics import reading

    if rules == "0.1":
        raise UserError(
            "--from-table: by the rules of version 0.1, trainings cannot be told apart by their rows"
        )
    rows, _ = reading.read(table)
    places = {identity: job.place for identity, job in _identities(study)}
    named = rows.assign(run=[places.get(_identity(row), "") for row in rows.to_dict("records")])
    ours = named[named["run"] != ""]
    if ours.empty:
        raise UserError(
            f"--from-table {table}: none of its {len(rows)} rows is a transfer of study {study.name}"
        )
    with replacing(root / EARLIER) as scratch:
        earlier.joined(earlier.read(root), ours).to_csv(scratch, index=False)
    left_out = f"; {len(rows) - len(ours)} others are not of this study" if len(ours) < len(rows) else ""
    return f"{table}: {len(ours)} transfers of study {study.name} are done{left_out}"


def done_elsewhere(study: JobList, root: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a study that are done according to the rows that its folder has from elsewhere.

    Returns:
        For each job's name what is known of its result.
    """
    if not (root / EARLIER).exists():
        return {}
    with (root / EARLIER).open(encoding="utf-8", newline="") as file:
        top1 = {row["run"]: {"top1": float(row["top1"])} for row in csv.DictReader(file)}
    done = {job.name: top1[job.place] for job in study.jobs if job.place in top1}
    open_searches = {job.search for job in study.jobs if job.search and job.name not in done}
    needed = {job.search for job in study.jobs if job.search}
    return done | {name: {} for name in needed - open_searches if name is not None}


def _identities(study: JobList) -> Iterator[tuple[tuple[str, ...], Job]]:
    """Every transfer of a study with the values of its row in `IDENTITY`."""
    searches = {job.name: job.config for job in study.jobs}
    for job in study.jobs:
        search = searches.get(job.search or "")
        if isinstance(job.config, TransferConfig) and isinstance(search, SearchConfig):
            row = {
                "target": job.config.target.text,
                "protocol_hash": job.config.protocol_hash,
                "strategy": search.strategy.name,
                "source": search.source.text,
                "proxy": search.proxy.text,
                "search_seed": search.seed,
                "train_seed": job.config.seed,
            }
            yield _identity(row), job


def _identity(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in IDENTITY)
