"""Short names of runs: what they do not have in common, so that a legend can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nastransfer_nni.tracking.directory import read_config

Words = dict[str, str]
"""What tells a run from others, by what it is."""
ORDER = ("strategy", "source", "proxy", "seed", "target")
"""Words of a name, in this order."""


def short_names(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders of runs by short names, such as `darts images:0.5 seed 1 to cifar10`.

    A strategy loses the options that all of its uses have, and whatever all runs share is left out. Runs
    that then still have the same name are numbered; a folder whose config.yaml is damaged keeps its name.
    """
    words = {folder: _words(folder) for folder in folders}
    searches = {folder.name: found for folder, found in words.items() if "seed" in found}
    for found in words.values():
        if (search := found.pop("search", None)) is not None:
            found.update({**searches.get(search, {"strategy": search}), **found})
    _drop_common_options(list(words.values()))
    for what in ("source", "proxy", "seed"):
        values = {found[what] for found in words.values() if what in found}
        if len(values) == 1 and len(words) > 1:
            for found in words.values():
                found.pop(what, None)
    names = {
        folder: " ".join(found[what] for what in ORDER if what in found) for folder, found in words.items()
    }
    return dict(_unique(names))


def _words(folder: Path) -> Words:
    """The words of one run; a transfer of a found cell has `search`, the name of its search's folder."""
    config = read_config(folder) or {}
    options: Mapping[str, Any] = config.get("options", {})
    if config.get("command") == "search":
        words = {what: str(options.get(what, "")) for what in ("strategy", "source", "proxy")}
        return words | {"seed": f"seed {options.get('seed', 0)}"}
    if config.get("command") == "transfer":
        cell = Path(str(options.get("arch", "")))
        found = {"search": cell.parent.name} if cell.suffix == ".json" else {"strategy": str(cell)}
        return found | {"target": f"to {options.get('target', '')}"}
    return {"strategy": folder.name}


def _drop_common_options(runs: Sequence[Words]) -> None:
    """Drop the options of a strategy that all of its uses have."""
    uses: dict[str, list[set[str]]] = {}
    for words in runs:
        name, _, options = words["strategy"].partition(":")
        uses.setdefault(name, []).append(set(options.split(",")))
    common = {name: set.intersection(*options) for name, options in uses.items()}
    for words in runs:
        name, _, options = words["strategy"].partition(":")
        kept = [option for option in options.split(",") if option not in common[name]]
        words["strategy"] = " ".join([name, *kept]).strip()


def _unique(names: Mapping[Path, str]) -> Iterator[tuple[str, Path]]:
    """The folders by names that can be those of files, numbered where several have the same."""
    totals, seen = Counter(names.values()), Counter[str]()
    for folder, name in names.items():
        seen[name] += 1
        number = f" #{seen[name]}" if totals[name] > 1 else ""
        yield f"{name.replace('/', '_') or folder.name}{number}", folder
