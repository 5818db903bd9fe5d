"""Reading the results table of a folder of runs, and the provenance of each row."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pandas as pd
import yaml

from nastransfer_nni.architecture.file import Architecture, from_dict
from nastransfer_nni.base.files import digest
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.fields import clean, writable
from nastransfer_nni.report.statistics.table import BASELINE, COLUMNS
from nastransfer_nni.tracking import directory
from search_spaces.errors import UserError

SEARCH, COMMAND = "search", "transfer"
METRICS = ("top1", "top5", "params", "mult_adds", "parameter_free_share", "train_seconds")
SETTING = ("target", "protocol", "protocol_hash", "train_seed")
FOUND_BY = ("strategy", "source", "proxy", "proxy_seed", "search_score", "source_top1", "search_seconds")
PROVENANCE = ("command_line", "at", "host", "git_commit", "versions", "continued")
MARKS = ("status.json", "summary.json", "metrics.jsonl", "architecture.json")
"""Files beside a config.yaml by which a run is known even if that is damaged."""

MAX_NAMED = 10
"""Damaged runs that a note names."""
MAX_DEPTH = 20
"""Depth to which the files of a run are searched; a YAML file may contain itself."""

MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?!/)[^,;:=@'\"]+")


class Collected(NamedTuple):
    """What a folder of runs holds.

    Attributes:
        rows: the results table with the columns of `COLUMNS`.
        notes: sentences on what was left out or told apart.
        provenance: for each run of the table its command, time, host, commit, versions and fingerprints of
            its data.
        missing: in words, how many runs are unfinished or damaged; empty if none is.
    """

    rows: pd.DataFrame
    notes: list[str]
    provenance: dict[str, dict[str, Any]]
    missing: str


def collect(folder: Path) -> Collected:
    """Read every finished transfer below `folder`; others, and damaged ones, are counted and left out.

    Raises:
        UserError: there is no finished transfer, or two runs are the same one.
    """
    rows: list[dict[str, Any]] = []
    provenance = {}
    unfinished: Counter[tuple[str, str]] = Counter()
    damaged: dict[str, str] = {}
    for path in _runs(folder):
        name = writable(path.relative_to(folder).as_posix())
        try:
            config = _config(path)
            if not config:
                continue
            command, status = config["command"], _status(path)
            if status != "completed":
                unfinished[command, status] += 1
            elif command == COMMAND:
                summary, architecture = _results(path)
                rows.append({**_row(path, config, summary, architecture), "run": name})
                provenance[name] = _provenance(folder, config, summary, architecture)
        except _DamagedError as error:
            damaged[name] = str(error)
    notes = _tell_cells_apart(rows)
    _add_varied_settings(rows)
    table = pd.DataFrame(rows, columns=[*COLUMNS], dtype=object)
    names, wrong = dict(table["run"]), reading.problems(table)
    damaged |= {names[row]: f"summary.json, {why.partition(': ')[2] or why}" for row, why in wrong.items()}
    table = table.drop(index=list(wrong)).reset_index(drop=True)
    counts = [_count(*key, count) for key, count in sorted(unfinished.items())]
    if counts:
        notes.insert(0, f"Runs left out because they are not finished: {', '.join(counts)}.")
    missing = ", ".join([*counts, *([f"{len(damaged)} damaged"] if damaged else [])])
    if table.empty:
        raise UserError(f"no finished transfer below {folder}" + (f" ({missing})" if missing else ""))
    checked, more = reading.check(table, is_percent=True)
    checked["source_top1"] = _source_top1(checked)
    if damaged:
        named = [f"{clean(name)} ({why})" for name, why in sorted(damaged.items())]
        others = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        notes.insert(0, f"Damaged runs left out: {', '.join(named[:MAX_NAMED])}{others}.")
    kept = set(checked["run"])
    return Collected(
        rows=checked,
        notes=[*notes, *more],
        provenance={name: content for name, content in provenance.items() if name in kept},
        missing=missing,
    )


def _count(command: str, status: str, count: int) -> str:
    runs = {SEARCH: "searches", COMMAND: "transfers"}[command] if count > 1 else command
    return f"{count} {runs} {'still running' if status == 'running' else status}"


class _DamagedError(Exception):
    """A run whose files cannot be read; the message names the file."""


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
    return {name: _portable(run, csv.parent) for name, run in runs.items()}


def _is_provenance(run: Any) -> bool:
    return isinstance(run, dict) and isinstance(run.get("versions", {}), dict)


def _runs(folder: Path) -> Iterator[Path]:
    """Every folder below `folder` that looks like a run's, damaged or not, in the order of their names."""
    found = []
    for name, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each != "checkpoints"]
        here = {*files, *folders}
        if "config.yaml" in here or {"status.json", "summary.json"} <= here:
            found.append(Path(name))
    return iter(sorted(found))


def _config(path: Path) -> dict[str, Any]:
    """Content of config.yaml; empty for a folder that is no run's.

    Raises:
        _DamagedError: it is no run's config.yaml, but other files say that there was a run.
    """
    try:
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    except (
        OSError,
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ):  # PyYAML's own, for a date such as 2024-02-31
        config = None
    if isinstance(config, dict) and config.get("command") in (SEARCH, COMMAND):
        return config
    is_run = "status" in (_read_object(path / "status.json") or {})
    if is_run or sum((path / name).exists() for name in MARKS) > 1:
        raise _DamagedError("config.yaml")
    return {}


def _status(path: Path) -> str:
    """Status of a run; one without status.json counts as interrupted.

    Raises:
        _DamagedError: status.json is not what a run writes.
    """
    file = path / "status.json"
    known = (*get_args(directory.Status), None)
    if file.exists() and (_read_object(file) or {"status": ""}).get("status") not in known:
        raise _DamagedError("status.json")
    try:
        return directory.read_status(path) or "interrupted"
    except OSError:  # a folder that this process may not write to, where no lock can be tried
        return "running"


def _results(path: Path) -> tuple[dict[str, Any], Architecture]:
    """summary.json and architecture.json of a finished run.

    Raises:
        _DamagedError: one is missing or lacks what the table needs, or metrics.jsonl is damaged.
    """
    summary = _read_object(path / "summary.json")
    if summary is None or not _are_fields(summary, (*METRICS, *SETTING)):
        raise _DamagedError("summary.json")
    if not summary.get("target") or summary.get("top1") is None:
        raise _DamagedError("summary.json, no target or top1")
    content = _read_object(path / "architecture.json")
    try:
        architecture = from_dict(content or {}, name=path.name)
    except UserError:
        raise _DamagedError("architecture.json") from None
    found_by = architecture.found_by
    parts = all(isinstance(found_by.get(name) or {}, dict) for name in ("options", "setting"))
    if not parts or not _are_fields(found_by, (*FOUND_BY, "seed", "search_samples")):
        raise _DamagedError("architecture.json")
    if not _is_journal(path / "metrics.jsonl"):
        raise _DamagedError("metrics.jsonl")
    return summary, architecture


def _are_fields(content: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether each of the entries is missing, a text or a number."""
    values = [content.get(name) for name in names]
    return all(value is None or isinstance(value, str | int | float) for value in values)


def _is_journal(path: Path) -> bool:
    """Whether every line of the file is a JSON object; a missing file is good too."""
    if not path.exists():
        return True
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return all(isinstance(json.loads(line), dict) for line in lines if line.strip())
    except (OSError, ValueError, RecursionError):  # of the json module and of decoding
        return False


def _read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if the file is missing or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # of the json module and of decoding
        return None
    return value if isinstance(value, dict) else None


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
        "search_samples": found_by.get("search_samples"),
        "genotype": json.dumps(architecture.genotype.to_dict(), sort_keys=True),
        "is_given": is_given,
    }


def _name_of_cell(config: dict[str, Any], path: Path) -> str:
    """What a cell that no search of ours found is called: a published name, or the name of its file."""
    options = config.get("options")
    arch = options.get("arch") if isinstance(options, dict) else None
    if not isinstance(arch, str) or not clean(arch):
        return path.name
    if "Genotype(" in arch:
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


def _provenance(
    folder: Path, config: dict[str, Any], summary: dict[str, Any], architecture: Architecture
) -> dict[str, Any]:
    known = {name: config[name] for name in PROVENANCE if config.get(name) is not None}
    if not isinstance(known.get("versions", {}), dict):
        del known["versions"]
    search = architecture.found_by.get("versions")
    contents = (config, summary, architecture.found_by)
    fingerprints = {text for content in contents for text in _fingerprints(content)}
    found = known | ({"search_versions": search} if search else {}) | {"fingerprints": sorted(fingerprints)}
    portable: dict[str, Any] = _portable(found, folder)
    return portable


def _fingerprints(value: Any, depth: int = 0) -> Iterator[str]:
    """Every fingerprint of data in a run's file."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if "fingerprint" in str(name) and isinstance(inner, str):
                yield inner
            else:
                yield from _fingerprints(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _fingerprints(inner, depth + 1)


def _portable(value: Any, folder: Path, depth: int = 0) -> Any:
    """The value as JSON can hold it, without absolute paths of the machine that it was recorded on."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {
            str(name): _portable_command(inner, folder)
            if name == "command_line" and isinstance(inner, str)
            else _portable(inner, folder, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_portable(inner, folder, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _without_paths(clean(str(value)), folder)


def _portable_command(command: str, folder: Path) -> str:
    try:
        words = shlex.split(clean(command))
    except ValueError:  # of the shlex module: a quotation mark without a partner
        words = clean(command).split()
    if words[:1] == ["python"] and len(words) > 1 and re.fullmatch(r"/.*/[\w-]+", words[1]):
        words = words[1:]  # an installed command, whose folder is the machine's
    return shlex.join(_without_paths(word, folder) for word in words)


def _without_paths(text: str, folder: Path) -> str:
    """The text with absolute paths relative to `folder`, and those outside of it cut to their names."""

    def shorten(found: re.Match[str]) -> str:
        path = Path(found[0])
        for root in (folder.absolute(), folder.resolve()):
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.name

    return MACHINE_PATH.sub(shorten, text)
