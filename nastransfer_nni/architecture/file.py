"""architecture.json: what a search exports and everything else reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nastransfer_nni.base.files import write_json
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.zoo import zoo

FORMAT, VERSION, SPACE = "nastransfer-architecture", 1, "darts"
LARGEST_FILE = 1_000_000
"""Bytes; a larger file is something else, and is not read."""


@dataclass(frozen=True)
class Architecture:
    """A genotype and where it comes from.

    Attributes:
        genotype: the two cells.
        name: a zoo name, or the name of the file that it was read from.
        found_by: how the search found it: strategy, source, proxy, seed, options, search_score, source_top1,
            search_seconds, search_samples, versions; empty where unknown.
    """

    genotype: Genotype
    name: str
    found_by: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of architecture.json."""
        known = {"found_by": self.found_by} if self.found_by else {}
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": SPACE,
            "genotype": self.genotype.to_dict(),
            **known,
        }

    def write(self, path: Path) -> None:
        """Write architecture.json, atomically."""
        write_json(path, self.to_dict())


def read(arch: str) -> Architecture:
    """Read an architecture in any form: a zoo name, or a file.

    A file may hold architecture.json's form, a bare genotype (JSON, or the `Genotype(...)` text that other
    code bases print) or an NNI sample. Nothing in it is ever evaluated.

    Raises:
        UserError: names the file, and where and why it is none of these.
    """
    if arch in zoo():
        return Architecture(
            zoo()[arch].genotype, arch, {"strategy": "published", "source": zoo()[arch].source}
        )
    path = Path(arch).expanduser()
    if not path.exists():
        import difflib

        near = difflib.get_close_matches(arch, list(zoo()), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(
            f"no architecture {arch!r}{hint}: it is neither a file nor a published cell; "
            "`nastransfer architecture list` names those"
        )
    try:
        return _parse(_text(path), _name(path))
    except ValueError as error:
        raise UserError(f"{arch}: {error}") from None


def _name(path: Path) -> str:
    """The run's folder for the file that every search writes, else the file's own name."""
    return path.resolve().parent.name if path.name == "architecture.json" else path.stem


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("is a folder; name the file, such as architecture.json, inside it")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE:,} bytes, which no architecture file is")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def _parse(text: str, name: str) -> Architecture:
    if "Genotype(" in text:
        return Architecture(Genotype.from_text(text), name)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"neither JSON ({error.msg} at {where}) nor Genotype(...) text") from None
    except RecursionError:
        raise ValueError("is nested too deeply to be an architecture") from None
    if not isinstance(value, dict):
        raise ValueError("must hold a JSON object: an architecture, a genotype or an NNI sample")
    if "format" in value or "genotype" in value:
        return from_contract(value, name)
    if any("/" in key for key in value):
        return Architecture(Genotype.from_sample(value), name)
    return Architecture(Genotype.from_dict(value), name)


def from_contract(value: dict[str, Any], name: str) -> Architecture:
    """Read the content of architecture.json.

    Raises:
        ValueError: says what is missing, unknown or does not fit.
    """
    for key, expected in (("format", FORMAT), ("version", VERSION), ("space", SPACE)):
        if value.get(key) != expected:
            raise ValueError(f"{key} is {value.get(key)!r}; this release reads {expected!r}")
    if not isinstance(value.get("genotype"), dict):
        raise ValueError("'genotype' must be an object with the cells 'normal' and 'reduce'")
    found_by = value.get("found_by") or {}
    if not isinstance(found_by, dict):
        raise ValueError("'found_by' must be an object")
    return Architecture(Genotype.from_dict(value["genotype"]), name, found_by)
