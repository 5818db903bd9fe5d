"""The tables on what is known, from stored figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.answers import ALIKE, PROXY, RANDOM

SIZES = "Searches (distinct cells) / random"

Target = tuple[dict[str, Any], dict[str, Any]]
"""A body of evidence, and one of its targets."""


def targets(bodies: Sequence[dict[str, Any]]) -> Iterator[Target]:
    """Every target of every body."""
    for body in bodies:
        for target in body["targets"]:
            yield body, target


def proxies(bodies: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The first question: the largest difference between two proxies."""
    return _table(bodies, _proxies)


def _proxies(body: dict[str, Any], target: dict[str, Any]) -> dict[str, str] | None:
    known = [each for each in target["proxies"] if each["points"][0] is not None]
    if not known:
        return None
    informed = [each for each in known if not {each["a"], each["b"]} & set(target["null"])]
    blind = [each for each in known if each not in informed]
    mean, _, ranking = target["answers"][PROXY]["verdict"].partition("; ranking: ")
    return {
        **_largest(informed, target, "Largest difference"),
        **_largest(blind, target, "Against a null proxy"),
        "Mean changes": mean.removeprefix("mean: "),
        "Ranking changes": ranking or mean,
    }


def _largest(pairs: Sequence[dict[str, Any]], target: dict[str, Any], name: str) -> dict[str, str]:
    """The largest difference of some pairs of proxies, in points and in standard deviations."""
    if not pairs:
        return {}
    row = max(pairs, key=lambda each: abs(each["points"][0]))
    better, worse = (row["a"], row["b"]) if row["points"][0] > 0 else (row["b"], row["a"])
    sds = scaled(row["points"], 1 / target["random"]["sd"])
    return {name: f"{_absolute(row['points'])}: {better} over {worse}", f"{name}, sd": _absolute(sds)}


def agreements(bodies: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The second question: what accuracy on the source tells of the target."""
    return _table(bodies, _agreements, "Networks")


def _agreements(body: dict[str, Any], target: dict[str, Any]) -> dict[str, str] | None:
    found = target["correlation"]
    verdict = target["answers"][ALIKE]["verdict"]
    if not found:
        return {"Alike, then different": verdict} if verdict != "not asked" else None
    best = max(found, key=lambda each: each["tau"][0])
    least = min(found, key=lambda each: each["tau"][0])
    ceilings = [each["ceiling"] for each in found if each["ceiling"]]
    sizes = [each["params"] for each in found if each["params"]]
    return {
        "Best proxy: tau": f"{best['source']}: {_text(best['tau'])}",
        "In its best tenth": _text(best["best_tenth"]),
        "Worst proxy: tau": f"{least['source']}: {_text(least['tau'])}" if len(found) > 1 else "",
        "Ceiling": _text(ceilings[0]) if ceilings else "unknown",
        "Size alone": _text(sizes[0]) if sizes else "",
        "Top 10": f"{best['recall']['10']:.0%}" if "10" in best["recall"] else "",
        "Regret": f"{best['regret']:.2f}",
        "Alike, then different": verdict,
    }


def taus(bodies: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """What every proxy tells of every target."""
    return pd.DataFrame(
        {
            "Table": body["title"],
            "Proxy": each["source"],
            "Target": target["target"],
            "Tau": _text(each["tau"]),
            "In the best tenth": _text(each["best_tenth"]),
            "Size alone": _text(each["params"]),
            "Two trainings": _text(each["ceiling"]),
        }
        for body, target in targets(bodies)
        for each in target["correlation"]
    )


def gains(bodies: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The third question: what searching gains over random networks."""
    return _table(bodies, _gains)


def _gains(body: dict[str, Any], target: dict[str, Any]) -> dict[str, str] | None:
    known = [each for each in target["improvement"] if each["percent"][1] is not None]
    if not known:
        return None
    better = [each for each in known if each["finding"].startswith("better")]
    best = max(better or known, key=lambda each: each["percent"][0])
    least = min(known, key=lambda each: each["percent"][0])
    kinds = [_kind(each["finding"]) for each in known]
    counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    return {
        "Largest gain": f"{best['who']}: {_signed(best['percent'])}%",
        "In sd": _signed(best["sds"]),
        "Smallest gain": f"{least['who']}: {_signed(least['percent'])}%",
        "Comparisons": ", ".join(counts),
        "Random is strong": target["answers"][RANDOM]["verdict"],
    }


def _kind(finding: str) -> str:
    """The finding without its margin."""
    return re.sub(r",? (by less than|within) .*", "", finding)


def checked(bodies: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """How often the test finds something under shuffled names, and with a planted effect."""
    counts = pd.DataFrame({body["title"]: body["checks"] for body in bodies}).T
    counts.loc["all"] = counts.sum()
    counts = counts[counts["comparisons"] > 0]
    shares = counts[["false", "found"]].div(counts["comparisons"], axis=0).map("{:.1%}".format)
    return pd.DataFrame(
        {
            "Evidence": counts.index,
            "Shuffled comparisons": counts["comparisons"].map("{:,}".format),
            "Find something at 5%": shares["false"],
            "Find one standard deviation": shares["found"],
        }
    )


def _table(
    bodies: Sequence[dict[str, Any]],
    row: Callable[[dict[str, Any], dict[str, Any]], dict[str, str] | None],
    size: str = SIZES,
) -> pd.DataFrame:
    """A row for every target that answers a question, with its size and its limit."""
    rows = []
    for body, target in targets(bodies):
        if (cells := row(body, target)) is None:
            continue
        distinct = "" if target["cells"] is None else f" ({target['cells']})"
        networks = {each["cells"] for each in target["correlation"]}
        sizes = {
            SIZES: f"{target['searches']}{distinct} / {target['random']['cells']}",
            "Networks": f"{max(networks):,}" if networks else "",
        }
        rows.append({"Evidence": title(body, target), **cells, size: sizes[size], "Limit": body["limit"]})
    frame = pd.DataFrame(rows).fillna("")
    frame = frame[[name for name in frame.columns if name not in (size, "Limit")] + [size, "Limit"]]
    return frame[[name for name in frame.columns if (frame[name] != "").any()]]


def title(body: dict[str, Any], target: dict[str, Any]) -> str:
    """The name of a target on the page: that of its body, and its own."""
    return f"{body['title']}: {target['target']}"


def _text(interval: Sequence[float | None] | None) -> str:
    return _form(interval, "{:.2f}")


def _signed(interval: Sequence[float | None]) -> str:
    return _form(interval, "{:+.2f}")


def _form(interval: Sequence[float | None] | None, form: str) -> str:
    if not interval or interval[0] is None:
        return ""
    value, low, high = interval
    limits = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return form.format(value) + limits


def scaled(interval: Sequence[float | None], factor: float) -> list[float | None]:
    """An interval whose numbers are multiplied by a factor; None stays."""
    return [None if each is None else each * factor for each in interval]


def _absolute(interval: Sequence[float | None]) -> str:
    """An interval turned so that the difference is positive."""
    value, low, high = interval
    if value is not None and value < 0 and low is not None and high is not None:
        return _text([-value, -high, -low])
    return _text(interval)
