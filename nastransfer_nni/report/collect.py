"""Reading the results table of a folder of runs, and the provenance of each row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.architecture.file import read as read_architecture
from nastransfer_nni.report.statistics import table
from nastransfer_nni.tracking import directory
from search_spaces.errors import UserError

COMMAND = "transfer"
METRICS = ("top1", "top5", "params", "mult_adds", "parameter_free_share", "train_seconds")
SETTING = ("target", "protocol", "protocol_hash", "train_seed")
FOUND_BY = ("strategy", "source", "proxy", "proxy_seed", "search_score", "source_top1", "search_seconds")
PROVENANCE = ("command_line", "at", "host", "git_commit", "versions", "continued")


def collect(folder: Path) -> tuple[pd.DataFrame, list[str], dict[str, dict[str, Any]]]:
    """Read every finished transfer below `folder`.

    Returns:
        The results table with the columns of `table.COLUMNS`; notes on what was left out; for each run of the
        table its provenance: command, time, host, commit, versions and fingerprints of its data.

    Raises:
        UserError: there is no finished transfer, or two runs are the same one.
    """
    rows: list[dict[str, Any]] = []
    provenance = {}
    left_out: Counter[str] = Counter()
    for path, config in _transfers(folder):
        status = directory.read_status(path) or "interrupted"
        if status != "completed":
            left_out[status] += 1
            continue
        files = _read_files(path)
        if files is None:
            left_out["damaged"] += 1
            continue
        summary, architecture = files
        name = path.relative_to(folder).as_posix()
        rows.append({**_row(path, config, summary, architecture), "run": name})
        provenance[name] = _provenance(config, summary, architecture)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(left_out.items()))
    if not rows:
        raise UserError(f"no finished transfer below {folder}" + (f" ({counts})" if counts else ""))
    _add_varied_settings(rows)
    checked, notes = table.check(pd.DataFrame(rows, columns=[*table.COLUMNS]))
    checked["source_top1"] = _source_top1(checked)
    return checked, [*([f"Runs left out: {counts}."] if counts else []), *notes], provenance


def provenance_of(csv: Path) -> dict[str, dict[str, Any]]:
    """The provenance of each run of a results table, from the provenance.json in the table's folder.

    It is empty if there is no such file.

    Raises:
        UserError: the file is damaged or is something else.
    """
    path = csv.with_name("provenance.json")
    if not path.exists():
        return {}
    content = _read_object(path)
    runs = content.get("runs") if content is not None else None
    if not isinstance(runs, dict) or not all(_is_provenance(run) for run in runs.values()):
        raise UserError(f"{path} is not the provenance of runs that a report writes; move it elsewhere")
    return runs


def _is_provenance(run: Any) -> bool:
    return isinstance(run, dict) and isinstance(run.get("versions", {}), dict)


def _transfers(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and config.yaml of every transfer below `folder`, whatever its status."""
    for path in sorted(folder.rglob("config.yaml")):
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if isinstance(config, dict) and config.get("command") == COMMAND:
            yield path.parent, config


def _read_files(path: Path) -> tuple[dict[str, Any], Architecture] | None:
    """summary.json and architecture.json of a run; None if one is missing or lacks what the table needs."""
    summary = directory.read_summary(path)
    if summary is None or summary.get("top1") is None or summary.get("target") is None:
        return None
    try:
        architecture = read_architecture(str(path / "architecture.json"))
    except UserError:
        return None
    found_by = architecture.found_by
    is_readable = all(isinstance(found_by.get(name) or {}, dict) for name in ("options", "setting"))
    return (summary, architecture) if is_readable else None


def _read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if the file is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _row(
    path: Path, config: dict[str, Any], summary: dict[str, Any], architecture: Architecture
) -> dict[str, Any]:
    """One row of the results table; the options of the strategy and of the search are not yet text."""
    found_by = architecture.found_by
    if found_by.get("strategy") in (None, "published"):  # no search of ours found the cell
        options = config.get("options")
        arch = options.get("arch") if isinstance(options, dict) else None
        found_by = {"strategy": Path(str(arch or path.name)).stem}
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
        "search_samples": found_by.get("search_samples"),
        "genotype": json.dumps(architecture.genotype.to_dict(), sort_keys=True),
    }


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


def _provenance(
    config: dict[str, Any], summary: dict[str, Any], architecture: Architecture
) -> dict[str, Any]:
    known = {name: config[name] for name in PROVENANCE if config.get(name) is not None}
    search = architecture.found_by.get("versions")
    contents = (config, summary, architecture.found_by)
    fingerprints = {text for content in contents for text in _fingerprints(content)}
    return known | ({"search_versions": search} if search else {}) | {"fingerprints": sorted(fingerprints)}


def _fingerprints(value: Any) -> Iterator[str]:
    """Every fingerprint of data, at any depth of a run's file."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if "fingerprint" in str(name) and isinstance(inner, str):
                yield inner
            else:
                yield from _fingerprints(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fingerprints(inner)
