"""The zoo: cells of this space that others have published, with their sources and figures."""

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
        name: its name in the zoo.
        genotype: its two cells.
        source: the public repository and file that it was read from.
        published: errors in percent, sizes in millions, as its authors give them.
        sizes: parameters and mult_adds in millions of the final network at three settings, without auxiliary
            head, counted as `search_spaces.sizes` counts; empty for most.
    """

    name: str
    genotype: Genotype
    source: str
    published: dict[str, float]
    sizes: dict[str, dict[str, float]]


@cache
def zoo() -> dict[str, PublishedCell]:
    """All published cells by name."""
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
