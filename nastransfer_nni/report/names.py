"""Short names of strategies and proxies: the page shows options once, in a legend."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.table import BASELINE, is_baseline, place_name

MAX_LENGTH = 26
"""Letters that a short name may have with an option in it."""
_SCORES = re.compile(r",scores=[^,+]*|(?<=:)scores=[^,+]*,?")
"""The option of a proxy that names the file of its scores."""


@dataclass(frozen=True)
class Names:
    """What a report calls the strategies and proxies of its table.

    Attributes:
        strategies: short name of each strategy by its full name, which has its options.
        places: short name of each proxy with its source, by the full name of both.
        source: the source of all proxies, where their short names lack it; else empty.
        sources: full name of each source whose name in `places` lacks options.
        proxies: short name of each proxy by its full name, both without the source.
        usual: parts that most proxies have and no short name has.
    """

    strategies: Mapping[str, str]
    places: Mapping[str, str]
    source: str
    sources: Mapping[str, str] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    usual: Collection[str] = ()

    @property
    def legend(self) -> list[tuple[str, str]]:
        """What short names lack: options of strategies, full names of sources, what most proxies have."""
        options = {name: name.partition(" (")[2].removesuffix(")") for name in self.strategies}
        strategies = [
            (short, options[name])
            for name, short in self.strategies.items()
            if short != name and not short.endswith(f" {options[name]}")
        ]
        usual = [(part, f"every proxy without another {_kind(part)}") for part in self.usual]
        return [*strategies, *self.sources.items(), *usual]

    def text(self, text: str) -> str:
        """The text with all full names replaced by the short ones."""
        pairs = {**self.strategies, **self.places}
        changed = sorted((name for name, short in pairs.items() if name != short), key=len, reverse=True)
        if not changed:
            return text
        pattern = "|".join(map(re.escape, changed))
        return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda found: pairs[found[0]], text)

    def who(self, strategy: str, place: str) -> str:
        """A strategy and what it was run on, in short."""
        short = self.strategies.get(strategy, strategy)
        return f"{short} on {self.places.get(place, place)}" if place else short

    def of(self, row: Mapping[Any, Any]) -> str:
        """The strategy of a row and what it was run on, in short."""
        return self.who(str(row["strategy"]), place_name(row.get("source", ""), row.get("proxy", "")))

    def frame(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with short names in every column of names."""
        kinds: tuple[tuple[Mapping[str, str], tuple[str, ...]], ...] = (
            (self.strategies, ("strategy", "a", "b")),
            (self.places, ("place", "proxy_a", "proxy_b", "a", "b")),
        )
        shown = rows.copy()
        for known, columns in kinds:
            for column in (name for name in columns if name in shown.columns):
                shown[column] = [known.get(value, value) for value in shown[column]]
        if "source" not in shown.columns and "proxy" in shown.columns:  # the source is part of the name
            shown["proxy"] = [self.places.get(value, value) for value in shown["proxy"]]
        elif "proxy" in shown.columns:
            short = {full: name for name, full in self.sources.items()} | {self.source: ""}
            shown["source"] = [short.get(value, value) for value in shown["source"]]
            shown["proxy"] = [self.proxies.get(value, value) for value in shown["proxy"]]
        if "swaps" in shown.columns:
            shown["swaps"] = [[self.text(swap) for swap in swaps] for swaps in shown["swaps"]]
        return shown


def names_of(findings: Findings) -> Names:
    """The short names of a report.

    A strategy loses its options where no other strategy has its name, and keeps one that tells it apart where
    that is short; others are numbered. A proxy loses its source where all proxies have the same, the options
    of its source where no other source is of the same images, and files of scores.
    """
    full = list(dict.fromkeys(comparison.strategy for comparison in findings.comparisons))
    searched = findings.table[~is_baseline(findings.table)]
    sources = {source for source in searched["source"] if source}
    has_proxies = bool((searched["proxy"] != "").all()) and len(searched) > 0
    source = sources.pop() if len(sources) == 1 and has_proxies else ""
    images = {name: name.partition("@")[0] for name in sorted(sources)}
    if len({*images.values()}) < len(images):
        images = {}
    pairs = list(searched[["source", "proxy"]].drop_duplicates().itertuples(index=False, name=None))
    proxies = list(dict.fromkeys(proxy for _, proxy in pairs))
    usual = _usual(proxies)
    short = {
        proxy: "+".join(part for part in _SCORES.sub("", proxy).split("+") if part not in usual)
        for proxy in proxies
    }
    if len({*short.values()}) < len(short):
        usual, short = [], {proxy: proxy for proxy in proxies}
    shown = {name: "" if source else images.get(name, name) for name, _ in pairs}
    return Names(
        strategies=_short(dict.fromkeys([*full, BASELINE])),
        places={place_name(*pair): place_name(shown[pair[0]], short[pair[1]]) for pair in pairs},
        source=source,
        sources={base: name for name, base in images.items() if base != name},
        proxies=short,
        usual=usual,
    )


def _usual(proxies: Sequence[str]) -> list[str]:
    """The parts that most proxies have where all have one of their kind, such as a resolution.

    What a proxy's name starts with is none of them: it says how its images are chosen.
    """
    later = [{_kind(part): part for part in proxy.split("+")[1:]} for proxy in proxies]
    kinds = [kind for kind in next(iter(later), {}) if all(kind in each for each in later)]
    counts = [Counter(each[kind] for each in later).most_common(1)[0] for kind in kinds]
    return [part for part, count in counts if 2 * count > len(proxies) > 1]


def _kind(part: str) -> str:
    return part.partition(":")[0]


def _short(full: Iterable[str]) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    for name in full:
        groups.setdefault(name.partition(" (")[0], []).append(name)
    short = {}
    for base, members in groups.items():
        options = {name: name.partition(" (")[2].removesuffix(")").split(", ") for name in members}
        for number, name in enumerate(members, start=1):
            others = {option for other in members if other != name for option in options[other]}
            own = [f"{base} {option}" for option in options[name] if option and option not in others]
            fitting = sorted((text for text in own if len(text) <= MAX_LENGTH), key=_telling)
            if len(members) == 1 or name == base:
                short[name] = base
            else:
                short[name] = fitting[0] if fitting else f"{base} {number}"
    return short if len({*short.values()}) == len(short) else {name: name for name in short}


def _telling(text: str) -> tuple[bool, int]:
    """How little an option tells: a word more than a number, a short one more than a long one."""
    return any(letter.isdigit() for letter in text.rpartition("=")[2][:1]), len(text)
