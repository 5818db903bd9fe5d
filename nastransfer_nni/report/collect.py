"""Reading the results table of a folder of runs, and the provenance of each row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base.files import digest
from nastransfer_nni.report import earlier
from nastransfer_nni.report.run_files import (
    COMMAND,
    FOUND_BY,
    METRICS,
    SEARCH,
    SETTING,
    DamagedError,
    read_config,
    read_results,
    read_status,
    runs,
)
from nastransfer_nni.report.run_provenance import provenance
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.fields import clean, writable
from nastransfer_nni.report.statistics.table import BASELINE, COLUMNS
from nastransfer_nni.report.study_plan import StudyPlan, read_plan
from search_spaces import registry
from search_spaces.errors import UserError

MAX_NAMED = 10
"""Damaged runs that a note names."""


class Collected(NamedTuple):
    """What a folder of runs holds.

    Attributes:
        rows: the results table with the columns of `COLUMNS`.
        notes: sentences on what was left out or renamed.
        provenance: for each run of the table its command, time, host, commit, versions and fingerprints of
            its data.
        missing: in words, how many runs are unfinished, damaged or were never started; empty if none is.
        plan: what the study in the folder fixed before it ran; None for other folders.
        is_complete: whether every transfer of the plan is finished; True without a plan.
    """

    rows: pd.DataFrame
    notes: list[str]
    provenance: dict[str, dict[str, Any]]
    missing: str
    plan: StudyPlan | None = None
    is_complete: bool = True


def collect(folder: Path) -> Collected:
    """Read every finished transfer below `folder`; others, and damaged ones, are counted and left out.

    Raises:
        UserError: there is no finished transfer, or two runs are the same one.
    """
    found = _found(folder)
    notes = _tell_cells_apart(found.rows)
    _add_varied_settings(found.rows)
    table = pd.DataFrame(found.rows, columns=[*COLUMNS], dtype=object)
    names, wrong = dict(table["run"]), reading.problems(table)
    damaged = found.damaged | {
        names[row]: f"summary.json, {why.partition(': ')[2] or why}" for row, why in wrong.items()
    }
    table = table.drop(index=list(wrong)).reset_index(drop=True)
    plan, before = read_plan(folder), earlier.read(folder)
    elsewhere = [] if before is None else [*before["run"]]
    counts = [_count(*key, count) for key, count in sorted(found.unfinished.items())]
    if counts:
        notes.insert(0, f"Runs left out because they are not finished: {', '.join(counts)}.")
    if plan and (never := plan.never_started(folder, elsewhere)):
        jobs = ", ".join(_count(kind, "never started", count) for kind, count in sorted(never.items()))
        notes.insert(0, f"Jobs of the study that are missing: {jobs}.")
        counts.append(jobs)
    if damaged:
        notes.insert(0, _of_damaged(damaged))
    missing = ", ".join([*counts, *([f"{len(damaged)} damaged"] if damaged else [])])
    if table.empty and before is None:
        why = f" ({missing}). {' '.join(notes)}" if missing else ""
        raise UserError(f"no finished transfer below {folder}{why}")
    checked, more = reading.check(table, is_percent=True) if len(table) else (table, [])
    if before is not None:
        checked = earlier.joined(before, checked)
        notes.append(f"Transfers that were completed elsewhere: {len(checked) - len(table)}.")
    checked["source_top1"] = _source_top1(checked)
    kept = set(checked["run"])
    return Collected(
        rows=checked,
        notes=[*notes, *more],
        provenance={name: content for name, content in found.origins.items() if name in kept},
        missing=missing,
        plan=plan,
        is_complete=plan is None or plan.is_complete({*found.origins, *elsewhere}),
    )


class _Found(NamedTuple):
    """The runs below a folder.

    Attributes:
        rows: a row for every finished transfer.
        origins: provenance of each of them, by the run's name.
        unfinished: number of the others by command and status.
        damaged: what is wrong with runs whose files cannot be read, by their names.
    """

    rows: list[dict[str, Any]]
    origins: dict[str, dict[str, Any]]
    unfinished: Counter[tuple[str, str]]
    damaged: dict[str, str]


def _found(folder: Path) -> _Found:
    found = _Found([], {}, Counter(), {})
    for path in runs(folder):
        name = writable(path.relative_to(folder).as_posix())
        try:
            config = read_config(path)
            if not config:
                continue
            command, status = config["command"], read_status(path)
            if status != "completed":
                found.unfinished[command, status] += 1
            elif command == COMMAND:
                summary, architecture = read_results(path)
                found.rows.append({**_row(path, config, summary, architecture), "run": name})
                found.origins[name] = provenance(folder, config, summary, architecture)
        except DamagedError as error:
            found.damaged[name] = str(error)
    return found


def _of_damaged(damaged: Mapping[str, str]) -> str:
    """The sentence on damaged runs."""
    named = [f"{clean(name)} ({why})" for name, why in sorted(damaged.items())]
    others = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return f"Damaged runs left out: {', '.join(named[:MAX_NAMED])}{others}."


def _count(command: str, status: str, count: int) -> str:
    runs = {SEARCH: "searches", COMMAND: "transfers"}[command] if count > 1 else command
    return f"{count} {runs} {'still running' if status == 'running' else status}"


def _row(
    path: Path, config: dict[str, Any], summary: dict[str, Any], architecture: Architecture
) -> dict[str, Any]:
    """One row of the results table; the options of the strategy and of the search are not yet text."""
    found_by = architecture.found_by
    is_given = found_by.get("strategy") in (None, "", "published")
    if is_given:  # no search of ours found the cell
        found_by = {"strategy": _name_of_cell(config, path)}
    options = dict(found_by.get("options") or {})
    proxy_seed = options.pop("proxy_seed", None)  # files of 0.1 may list it there
    row = {name: summary.get(name) for name in (*METRICS, *SETTING)}
    row |= {name: found_by.get(name) for name in FOUND_BY}
    if row["proxy_seed"] is None:
        row["proxy_seed"] = proxy_seed
    return row | {
        "strategy_options": options,
        "setting": found_by.get("setting") or {},
        "search_seed": found_by.get("seed"),
        "genotype": json.dumps(architecture.genotype.to_dict(), sort_keys=True),
        "is_given": is_given,
    }


def _name_of_cell(config: dict[str, Any], path: Path) -> str:
    """What a cell that no search of ours found is called: a published name, or the name of its file."""
    options = config.get("options")
    arch = options.get("arch") if isinstance(options, dict) else None
    if not isinstance(arch, str) or not clean(arch):
        return path.name
    if registry.has_text(arch):
        return "genotype"
    file = Path(arch)
    return file.parent.name if file.name == "architecture.json" and file.parent.name else file.stem


def _tell_cells_apart(rows: list[dict[str, Any]]) -> list[str]:
    """Give cells that were found elsewhere and share a name the option `cell`; returns notes on that.

    They would otherwise count as runs of one strategy, those called random as random cells.
    """
    by_name: dict[str, set[str]] = {}
    searched = {row["strategy"] for row in rows if not row["is_given"]} | {BASELINE}
    for row in rows:
        if row["is_given"]:
            by_name.setdefault(row["strategy"], set()).add(row["genotype"])
    shared = {name for name, cells in by_name.items() if len(cells) > 1 or name in searched}
    for row in rows:
        if row.pop("is_given") and row["strategy"] in shared:
            row["strategy_options"] = {"cell": digest(row["genotype"], 6)}
    names = ", ".join(map(clean, sorted(shared)))
    return [f"Different cells have the name {names}; the option cell tells them apart."] if shared else []


def _add_varied_settings(rows: list[dict[str, Any]]) -> None:
    """Add the settings in which the searches of a strategy differ to its options, and turn those into JSON.

    Epochs or width that all searches of a strategy share do not distinguish them; others make them different
    strategies. They do not matter to the random baseline, for which nothing was trained.
    """
    for strategy in {row["strategy"] for row in rows}:
        own = [row for row in rows if row["strategy"] == strategy]
        settings = [row.pop("setting") for row in own]
        names = sorted({name for setting in settings for name in setting})
        varied = [name for name in names if len({str(setting.get(name)) for setting in settings}) > 1]
        for row, setting in zip(own, settings, strict=True):
            if row["search_samples"]:
                row["strategy_options"] |= {name: setting.get(name, "default") for name in varied}
            row["strategy_options"] = json.dumps(row["strategy_options"], sort_keys=True, default=str)


def _source_top1(results: pd.DataFrame) -> pd.Series:
    """Top-1 of every cell on the source that it was found on, in percent, from the trainings there.

    It is the mean over training seeds, if all trainings on the source followed one protocol. Rows whose
    target is the source have none, since they would be compared with themselves.
    """
    cell = ["strategy", "strategy_options", "source", "proxy", "proxy_seed", "search_seed", "genotype"]
    is_on_source = results["target"] == results["source"]
    trained = results[is_on_source]
    protocols = trained.groupby("target")["protocol_hash"].transform("nunique")
    means = trained[protocols == 1].groupby(cell)["top1"].mean().rename("mean").reset_index()
    found = results[cell].merge(means, on=cell, how="left")["mean"].set_axis(results.index)
    return results["source_top1"].fillna(found.mask(is_on_source))
