"""The zoo: published cells of this space, with their sources, errors and sizes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from search_spaces.genotype import Genotype


@dataclass(frozen=True)
class PublishedCell:
    """A published cell.

    Attributes:
        name: name of the cell in the zoo.
        genotype: the normal and the reduction cell.
        source: public repository and file from which it was read.
        published: errors in percent and sizes in millions, as published by the authors.
        sizes: parameters and mult_adds in millions of the final network at three settings, without auxiliary
            head, counted by `search_spaces.sizes`; empty for most cells.
    """

    name: str
    genotype: Genotype
    source: str
    published: dict[str, float]
    sizes: dict[str, dict[str, float]]


@cache
def zoo() -> dict[str, PublishedCell]:
    """All published cells, by name."""
    entries: dict[str, Any] = json.loads(
        resources.files("search_spaces").joinpath("zoo.json").read_text("utf-8")
    )
    return {
        name: PublishedCell(
            name,
            Genotype(entry["normal"], entry["reduce"]),
            entry["source"],
            entry["published"],
            entry.get("sizes", {}),
        )
        for name, entry in entries.items()
    }
