"""The files of a run, as a report reads them: what is damaged is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from nastransfer_nni.architecture.file import Architecture, from_dict
from nastransfer_nni.base.reading import parse_json, parse_yaml, read_object, read_text
from nastransfer_nni.tracking import directory
from search_spaces.errors import UserError

SEARCH, COMMAND = "search", "transfer"
OTHERS = ("rank",)
"""Commands whose runs a report has nothing to say of."""
METRICS = ("top1", "top5", "params", "mult_adds", "parameter_free_share", "train_seconds")
SETTING = ("target", "protocol", "protocol_hash", "train_seed")
FOUND_BY = (
    "strategy",
    "source",
    "proxy",
    "proxy_seed",
    "proxy_fingerprint",
    "search_score",
    "source_top1",
    "search_seconds",
    "search_samples",
    "search_forward_samples",
    "proxy_seconds",
    "proxy_samples",
    "proxy_forward_samples",
)
MARKS = ("status.json", "summary.json", "metrics.jsonl", "architecture.json")
"""Files beside a config.yaml by which a run is known even if that is damaged."""


class DamagedError(Exception):
    """A run whose files cannot be read; the message names the file."""


def runs(folder: Path) -> Iterator[Path]:
    """Every folder below `folder` that looks like a run's, damaged or not, in the order of their names."""
    found = []
    for name, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each != "checkpoints"]
        here = {*files, *folders}
        if "config.yaml" in here or {"status.json", "summary.json"} <= here:
            found.append(Path(name))
    return iter(sorted(found))


def read_config(path: Path) -> dict[str, Any]:
    """Content of config.yaml; empty for a folder that is no run's.

    Raises:
        DamagedError: it is no run's config.yaml, but other files say that there was a run.
    """
    try:
        config = parse_yaml(read_text(path / "config.yaml"))
    except UserError:
        config = None
    if isinstance(config, dict) and config.get("command") in (SEARCH, COMMAND):
        return config
    if isinstance(config, dict) and config.get("command") in OTHERS:
        return {}
    is_run = "status" in (read_object(path / "status.json") or {})
    if is_run or sum((path / name).exists() for name in MARKS) > 1:
        raise DamagedError("config.yaml")
    return {}


def read_status(path: Path) -> str:
    """Status of a run; one without status.json counts as interrupted.

    Raises:
        DamagedError: status.json is not what a run writes.
    """
    file = path / "status.json"
    known = (*get_args(directory.Status), None)
    if file.exists() and (read_object(file) or {"status": ""}).get("status") not in known:
        raise DamagedError("status.json")
    try:
        return directory.read_status(path) or "interrupted"
    except OSError:  # a lock that this process may not read
        return "running"


def read_results(path: Path) -> tuple[dict[str, Any], Architecture]:
    """summary.json and architecture.json of a finished run.

    Raises:
        DamagedError: one is missing or lacks what the table needs, or metrics.jsonl is damaged.
    """
    summary = read_object(path / "summary.json")
    if summary is None or not _are_fields(summary, (*METRICS, *SETTING)):
        raise DamagedError("summary.json")
    if not summary.get("target") or summary.get("top1") is None:
        raise DamagedError("summary.json, no target or top1")
    content = read_object(path / "architecture.json")
    try:
        architecture = from_dict(content or {}, name=path.name)
    except UserError:
        raise DamagedError("architecture.json") from None
    found_by = architecture.found_by
    parts = all(isinstance(found_by.get(name) or {}, dict) for name in ("options", "setting"))
    if not parts or not _are_fields(found_by, (*FOUND_BY, "seed")):
        raise DamagedError("architecture.json")
    if not _is_journal(path / "metrics.jsonl"):
        raise DamagedError("metrics.jsonl")
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
        lines = read_text(path).splitlines()
        return all(isinstance(parse_json(line), dict) for line in lines if line.strip())
    except UserError:
        return False
