"""architecture.json: what a search exports and everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import strategies
from nastransfer_nni.base import hub
from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import exists, parse_json, read_text
from nastransfer_nni.base.renames import SEARCH_OPTIONS
from search_spaces import AbstractGenotype, Space, registry
from search_spaces.errors import UserError, unknown
from search_spaces.zoo import zoo

FORMAT, VERSION = "nastransfer-architecture", 2
MODEL_CONFIG = "config.json"
"""The file that describes a network where timm looks for it, in an exported folder or on the Hub."""
MAX_BYTES = 1_000_000
"""A larger file is something else, and is not read."""


@dataclass(frozen=True)
class Architecture:
    """A genotype and where it comes from.

    Attributes:
        genotype: the cells.
        name: a zoo name, or the name of the file that it was read from.
        found_by: how the search found it: strategy, source, proxy, seed, options, search_score, source_top1,
            search_seconds, search_samples, versions; empty where unknown.
        text: the name or path that it was read from, as it was given.
        space: the search space; without one, that of the genotype by itself.
    """

    genotype: AbstractGenotype
    name: str
    found_by: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    space: Space = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.space is None:
            object.__setattr__(self, "space", registry.space_of(self.genotype))

    def to_dict(self) -> dict[str, Any]:
        """The content of architecture.json."""
        known = {"found_by": self.found_by} if self.found_by else {}
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": self.space.text,
            "genotype": self.genotype.to_dict(),
            **known,
        }

    def write(self, path: Path) -> None:
        """Write architecture.json, atomically."""
        write_json(path, self.to_dict())


def read(arch: str) -> Architecture:
    """Read an architecture in any form: zoo name, file, repository of the Hub, or `Genotype(...)` text.

    A file holds architecture.json's form, a bare genotype (JSON, or the `Genotype(...)` text that other code
    bases print, also in the middle of a log), an NNI sample, perhaps in a list, or the config.json of an
    exported network, which is what is read of a repository, `hf-hub:owner/name@revision`. It is parsed, never
    evaluated. A text may also be that of another space.

    Raises:
        UserError: names the file, and says where and why it is none of these.
    """
    if arch in zoo():
        cell = zoo()[arch]
        return Architecture(cell.genotype, arch, {"strategy": "published", "source": cell.source}, arch)
    if registry.has_text(arch):
        return Architecture(registry.genotype_of_text(arch), "genotype", text=arch)
    if hub.is_name(arch):
        return _from_hub(arch)
    if not exists(arch):
        raise unknown("architecture", arch, [*zoo(), "a file", f"{hub.PREFIX}owner/name"])
    try:
        return _parse(read_text(arch, MAX_BYTES), name=_name(expanded(arch)), text=arch)
    except UserError as error:
        raise UserError(f"{arch}: {error}") from None


def _from_hub(text: str) -> Architecture:
    config = hub.file(text, MODEL_CONFIG)
    try:
        return _from_json(read_text(config, MAX_BYTES), name=hub.parse(text)[0].split("/")[-1], text=text)
    except UserError as error:
        raise UserError(f"{text} is not a network of this project: its {MODEL_CONFIG} {error}") from None


def _name(path: Path) -> str:
    """The run's folder for the file that every search writes, else the file's own name."""
    return path.resolve().parent.name if path.name == "architecture.json" else path.stem


def _parse(content: str, *, name: str, text: str) -> Architecture:
    if not registry.has_text(content):
        return _from_json(content, name=name, text=text)
    try:
        return _from_json(content, name=name, text=text)  # which may have such a text inside
    except UserError:
        return Architecture(registry.genotype_of_text(content), name, text=text)


def _from_json(content: str, *, name: str, text: str) -> Architecture:
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
    if "pretrained_cfg" in value:
        return _of_model(value, name=name, text=text)
    if "format" in value or "genotype" in value:
        return from_dict(value, name=name, text=text)
    if any("/" in key for key in value):
        return Architecture(registry.genotype_of_sample(value), name, text=text)
    return Architecture(registry.genotype_of_dict(value), name, text=text)


def _of_model(value: dict[str, Any], *, name: str, text: str) -> Architecture:
    """The architecture in the config.json of a model of timm, which calls the model's name `architecture`."""
    options, model = value.get("model_args"), value.get("architecture")
    content = options.get("architecture") if isinstance(options, dict) else None
    if not isinstance(content, dict):
        raise UserError(f"describes a {model} and no cells")
    return _from_value(content, name=name, text=text)


def from_dict(value: Mapping[str, Any], *, name: str, text: str = "") -> Architecture:
    """Read the content of architecture.json, of this version or of version 1.

    Raises:
        UserError: says what is missing, unknown or does not fit.
    """
    for key, expected in (("format", (FORMAT,)), ("version", (VERSION, 1))):
        if value.get(key) not in expected:
            allowed = " or ".join(map(repr, expected))
            raise UserError(f"{key} is {value.get(key)!r}; this release reads {allowed}")
    space = _space(value)
    if not isinstance(value.get("genotype"), dict):
        kinds = " and ".join(map(repr, space.kinds))
        raise UserError(f"'genotype' must be an object with the cells {kinds}")
    found_by = value.get("found_by") or {}
    if not isinstance(found_by, dict):
        raise UserError("'found_by' must be an object")
    if value["version"] == 1:
        found_by = _upgraded(found_by)
    return Architecture(space.from_dict(value["genotype"]), name, found_by, text, space)


def _space(value: Mapping[str, Any]) -> Space:
    """The search space that a file names; one that names none is of the space of DARTS."""
    text = value.get("space", registry.DEFAULT)
    if not isinstance(text, str):
        raise UserError(f"space is {text!r}; it must be a text such as {registry.DEFAULT!r}")
    try:
        return registry.parse(text)
    except UserError as error:
        raise UserError(f"space is {text!r}: {error}") from None


def _upgraded(found_by: dict[str, Any]) -> dict[str, Any]:
    """`found_by` of version 1, with today's names of the strategy's options and of the search's."""
    upgraded = dict(found_by)
    if isinstance(options := found_by.get("options"), dict):
        upgraded["options"] = strategies.upgrade_options(str(found_by.get("strategy")), options)
    if isinstance(setting := found_by.get("setting"), dict):
        upgraded["setting"] = {SEARCH_OPTIONS.get(name, name): value for name, value in setting.items()}
    return upgraded
