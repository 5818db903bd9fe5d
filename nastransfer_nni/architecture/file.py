"""architecture.json: what a search exports and everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import strategies
from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import exists, parse_json, read_text
from nastransfer_nni.base.renames import SEARCH_OPTIONS
from search_spaces import Genotype
from search_spaces.errors import UserError, unknown
from search_spaces.zoo import zoo

FORMAT, VERSION, SPACE = "nastransfer-architecture", 2, "darts"
MAX_BYTES = 1_000_000
"""A larger file is something else, and is not read."""


@dataclass(frozen=True)
class Architecture:
    """A genotype and where it comes from.

    Attributes:
        genotype: the two cells.
        name: a zoo name, or the name of the file that it was read from.
        found_by: how the search found it: strategy, source, proxy, seed, options, search_score, source_top1,
            search_seconds, search_samples, versions; empty where unknown.
        text: the name or path that it was read from, as it was given.
    """

    genotype: Genotype
    name: str
    found_by: dict[str, Any] = field(default_factory=dict)
    text: str = ""

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
    """Read an architecture in any form: a zoo name, a file, or a `Genotype(...)` text.

    A file holds architecture.json's form, a bare genotype (JSON, or the `Genotype(...)` text that other code
    bases print, also in the middle of a log) or an NNI sample, perhaps in a list. It is parsed, never
    evaluated.

    Raises:
        UserError: names the file, and says where and why it is none of these.
    """
    if arch in zoo():
        cell = zoo()[arch]
        return Architecture(cell.genotype, arch, {"strategy": "published", "source": cell.source}, arch)
    if "Genotype(" in arch:
        return Architecture(Genotype.from_text(arch), "genotype", text=arch)
    if not exists(arch):
        raise unknown("architecture", arch, [*zoo(), "a file"])
    try:
        return _parse(read_text(arch, MAX_BYTES), name=_name(expanded(arch)), text=arch)
    except UserError as error:
        raise UserError(f"{arch}: {error}") from None


def _name(path: Path) -> str:
    """The run's folder for the file that every search writes, else the file's own name."""
    return path.resolve().parent.name if path.name == "architecture.json" else path.stem


def _parse(content: str, *, name: str, text: str) -> Architecture:
    if "Genotype(" in content:
        return Architecture(Genotype.from_text(content), name, text=text)
    try:
        value = parse_json(content)
    except UserError as error:
        raise UserError(f"is neither JSON nor Genotype(...) text: {error}") from None
    return _from_value(value, name=name, text=text)


def _from_value(value: Any, *, name: str, text: str) -> Architecture:
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        found = [_from_value(entry, name=name, text=text) for entry in value]  # as NNI exports samples
        if different := len({architecture.genotype for architecture in found}) - 1:
            raise UserError(f"holds {different + 1} different architectures; keep the one that is meant")
        return found[0]
    if not isinstance(value, dict):
        raise UserError("must hold a JSON object: an architecture, a genotype or an NNI sample")
    if "format" in value or "genotype" in value:
        return from_dict(value, name=name, text=text)
    if any("/" in key for key in value):
        return Architecture(Genotype.from_sample(value), name, text=text)
    return Architecture(Genotype.from_dict(value), name, text=text)


def from_dict(value: Mapping[str, Any], *, name: str, text: str = "") -> Architecture:
    """Read the content of architecture.json, of this version or of version 1.

    Raises:
        UserError: says what is missing, unknown or does not fit.
    """
    for key, expected in (("format", (FORMAT,)), ("version", (VERSION, 1)), ("space", (SPACE,))):
        if value.get(key) not in expected:
            allowed = " or ".join(map(repr, expected))
            raise UserError(f"{key} is {value.get(key)!r}; this release reads {allowed}")
    if not isinstance(value.get("genotype"), dict):
        raise UserError("'genotype' must be an object with the cells 'normal' and 'reduce'")
    found_by = value.get("found_by") or {}
    if not isinstance(found_by, dict):
        raise UserError("'found_by' must be an object")
    if value["version"] == 1:
        found_by = _upgraded(found_by)
    return Architecture(Genotype.from_dict(value["genotype"]), name, found_by, text)


def _upgraded(found_by: dict[str, Any]) -> dict[str, Any]:
    """`found_by` of version 1, with today's names of the strategy's options and of the search's."""
    upgraded = dict(found_by)
    if isinstance(options := found_by.get("options"), dict):
        upgraded["options"] = strategies.upgrade_options(str(found_by.get("strategy")), options)
    if isinstance(setting := found_by.get("setting"), dict):
        upgraded["setting"] = {SEARCH_OPTIONS.get(name, name): value for name, value in setting.items()}
    return upgraded
