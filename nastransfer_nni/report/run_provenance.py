"""Where runs come from, as a report keeps it: what JSON can hold, without paths of the machine."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.statistics.fields import clean
from search_spaces.errors import UserError

PROVENANCE = ("command_line", "at", "host", "git_commit", "versions", "continued")
MAX_DEPTH = 20
"""Depth to which the files of a run are searched; a YAML file may contain itself."""

MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?!/)[^,;:=@'\"]+")


def provenance(
    folder: Path, config: dict[str, Any], summary: dict[str, Any], architecture: Architecture
) -> dict[str, Any]:
    """Provenance of a run: command, time, host, commit, versions, and the fingerprints of its data.

    Args:
        folder: folder of all runs, to which paths become relative.
        config: content of the run's config.yaml.
        summary: content of the run's summary.json.
        architecture: content of the run's architecture.json.
    """
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


def provenance_of(csv: Path) -> dict[str, dict[str, Any]]:
    """The provenance of each run of a results table, from the provenance.json in the table's folder.

    It is empty if there is no such file.

    Raises:
        UserError: the file is damaged or is something else.
    """
    path = csv.with_name("provenance.json")
    if not path.exists():
        return {}
    content = read_object(path)
    runs = content.get("runs") if content is not None else None
    if not isinstance(runs, dict) or not all(_is_provenance(run) for run in runs.values()):
        raise UserError(f"{path} is not the provenance of runs that a report writes; move it elsewhere")
    return {name: _portable(run, csv.parent) for name, run in runs.items()}


def _is_provenance(run: Any) -> bool:
    return isinstance(run, dict) and isinstance(run.get("versions", {}), dict)
