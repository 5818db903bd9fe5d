"""Options from a YAML file: one that a user writes, or the config.yaml of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.reading import read_yaml
from search_spaces.errors import UserError

RESULTS = ("genotype", "found_by")
"""Entries of a run's options that are not options of a command."""
OF_ONE_RUN = ("out", "overwrite")
"""Options of a run that another run does not share."""


def read_options(path: str | Path, config: type[Config]) -> dict[str, Any]:
    """Options of `config` from a YAML mapping, or from the `options` of a run's config.yaml.

    Raises:
        UserError: the file cannot be read or is no such mapping.
    """
    value = read_yaml(path, "--config")
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise UserError(f"--config {path} must be a mapping of options, such as `epochs: 10`")
    options = value.get("options")
    if not isinstance(options, dict) or "command" not in value:
        return {name.replace("-", "_"): entry for name, entry in value.items()}
    if "version" not in value:
        options = config.upgrade(options)
    return {name: entry for name, entry in options.items() if name not in (*RESULTS, *OF_ONE_RUN)}
