"""The results table of a folder of runs, and beside it where every row comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nastransfer_nni.report.statistics import table
from nastransfer_nni.tracking import directory
from search_spaces.errors import UserError

COMMAND = "transfer"
FIGURES = ("top1", "top5", "params", "mult_adds", "parameter_free_share", "train_seconds")
SETTING = ("target", "protocol", "protocol_hash", "train_seed")
FOUND = ("strategy", "source", "proxy", "proxy_seed", "search_score", "source_top1", "search_seconds")


def collect(folder: Path) -> tuple[pd.DataFrame, list[str], dict[str, Any]]:
    """Read every finished transfer below `folder`.

    Returns:
        The results table, remarks on what was left out, and for each run of the table where it comes from:
        command, time, host, versions, commit, fingerprints of data.

    Raises:
        UserError: there is no finished transfer, or two runs are the same one.
    """
    rows, provenance = [], {}
    left_out: Counter[str] = Counter()
    for path, config in _transfers(folder):
        status = directory.read_status(path) or "interrupted"
        if status != "completed":
            left_out[status] += 1
            continue
        name = path.relative_to(folder).as_posix()
        try:
            row = _row(path, config)
        except (OSError, ValueError, KeyError, TypeError):
            left_out["damaged"] += 1
            continue
        rows.append({**row, "run": name})
        provenance[name] = _provenance(path, config)
    told = ", ".join(f"{count} {status}" for status, count in sorted(left_out.items()))
    if not rows:
        raise UserError(f"no finished transfer below {folder}" + (f" ({told})" if told else ""))
    _tell_settings_apart(rows)
    checked, remarks = table.check(pd.DataFrame(rows, columns=[*table.COLUMNS]))
    checked["source_top1"] = _source_top1(checked)
    return checked, [*([f"Runs left out: {told}."] if told else []), *remarks], provenance


def provenance_beside(csv: Path) -> dict[str, Any]:
    """Where the runs of a results table come from, as the report that wrote the table noted beside it.

    Raises:
        UserError: the file provenance.json beside the table is not such a note.
    """
    path = csv.with_name("provenance.json")
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return {str(name): dict(run) for name, run in runs.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} does not say where runs come from; move it elsewhere") from None


def _tell_settings_apart(rows: list[dict[str, Any]]) -> None:
    """Count among a strategy's options those of its searches that differ from row to row.

    Epochs or width that all searches of a strategy share say nothing; others make it another strategy. Where
    nothing was trained (the random baseline) they do not matter.
    """
    for strategy in {row["strategy"] for row in rows}:
        own = [row for row in rows if row["strategy"] == strategy]
        seen = [row.pop("setting") for row in own]
        names = {name for setting in seen for name in setting}
        varied = [name for name in sorted(names) if len({str(setting.get(name)) for setting in seen}) > 1]
        for row, setting in zip(own, seen, strict=True):
            if row["search_samples"]:
                row["strategy_options"] |= {name: setting.get(name, "default") for name in varied}
            row["strategy_options"] = json.dumps(row["strategy_options"], sort_keys=True, default=str)


def _source_top1(results: pd.DataFrame) -> pd.Series:
    """The accuracy of every cell on the source that it was found on, from the trainings there.

    It is the mean over training seeds, where all trainings on a source followed one protocol. A row whose
    target is the source has none: it would be compared with itself.
    """
    cell = ["strategy", "strategy_options", "source", "proxy", "proxy_seed", "search_seed", "genotype"]
    at_home = results["target"] == results["source"]
    trained = results[at_home]
    protocols = trained.groupby("target")["protocol_hash"].transform("nunique")
    means = trained[protocols == 1].groupby(cell)["top1"].mean().rename("mean").reset_index()
    found = results[cell].merge(means, on=cell, how="left")["mean"].set_axis(results.index)
    return results["source_top1"].fillna(found.mask(at_home))


def _transfers(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.rglob("config.yaml")):
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(config, dict) and config.get("command") == COMMAND:
            yield path.parent, config


def _row(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    architecture = json.loads((path / "architecture.json").read_text(encoding="utf-8"))
    found = dict(architecture.get("found_by") or {})
    if found.get("strategy") in (
        None,
        "published",
    ):  # a cell that no search of ours found is its own strategy
        found = {"strategy": Path(str((config.get("options") or {}).get("arch") or path.name)).stem}
    options = dict(found.get("options") or {})
    proxy_seed = options.pop("proxy_seed", None)
    row = {name: summary.get(name) for name in (*FIGURES, *SETTING)} | {
        name: found.get(name) for name in FOUND
    }
    if row["top1"] is None or row["target"] is None:
        raise KeyError("top1 and target")
    if row["proxy_seed"] is None:
        row["proxy_seed"] = proxy_seed
    return row | {
        "strategy_options": options,
        "setting": found.get("setting") or {},
        "search_seed": found.get("seed"),
        "search_samples": found.get("search_samples"),
        "genotype": json.dumps(architecture["genotype"], sort_keys=True),
    }


def _provenance(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    names = ("command_line", "at", "host", "git_commit", "versions", "continued")
    known = {name: config[name] for name in names if config.get(name) is not None}
    sources = [config]
    for file in ("summary.json", "architecture.json"):
        sources.append(json.loads((path / file).read_text(encoding="utf-8")))
    search = (sources[-1].get("found_by") or {}).get("versions")
    fingerprints = sorted({text for source in sources for text in _fingerprints(source)})
    return known | ({"search_versions": search} if search else {}) | {"fingerprints": fingerprints}


def _fingerprints(value: Any) -> Iterator[str]:
    """Every fingerprint that is noted anywhere in a run's files."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if "fingerprint" in str(name) and isinstance(inner, str):
                yield inner
            else:
                yield from _fingerprints(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fingerprints(inner)
