"""The public flags of every command are frozen: an option that comes, goes or is renamed shows here."""

import json
from pathlib import Path

import pytest

from nastransfer_nni.base.cli import Command
from nastransfer_nni.commands import COMMANDS

FROZEN = Path(__file__).with_name("flags.json")


def flags(commands, path=()):
    """Every command's options, by the command's words."""
    found = {}
    for name, entry in commands.items():
        words = (*path, name)
        if isinstance(entry, Command):
            found[" ".join(words)] = sorted(entry.config.model_fields)
        else:
            found |= flags(entry, words)
    return found


def test_public_flags_are_frozen():
    """Where a change is meant: write `flags(COMMANDS)` to flags.json and name it in CHANGELOG.md."""
    assert flags(COMMANDS) == json.loads(FROZEN.read_text())


def fields(commands):
    for entry in commands.values():
        if isinstance(entry, Command):
            yield from ((entry.config, name, field) for name, field in entry.config.model_fields.items())
        else:
            yield from fields(entry)


@pytest.mark.parametrize(
    ("config", "name", "field"), fields(COMMANDS), ids=lambda value: getattr(value, "__name__", None)
)
def test_help_texts_stand_alone(config, name, field):
    first = (field.description or "").split()[0]
    assert first.strip(",:") not in {"of", "its", "likewise", "as", "where", "at"}, (
        f"{config.__name__}.{name}"
    )


@pytest.mark.parametrize("entry", [entry for entry in COMMANDS.values() if isinstance(entry, Command)])
def test_renamed_options_lead_to_options(entry):
    assert set(entry.config.renamed.values()) <= set(entry.config.model_fields)
