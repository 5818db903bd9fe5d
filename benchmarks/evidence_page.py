"""The page on what is known: the tables of results/README.md and its pictures, from stored figures."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nastransfer_nni.base.files import replacing, write_text
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.plots import style
from nastransfer_nni.report.plots.style import GREY, INK, PALETTE
from nastransfer_nni.report.statistics.answers import ALIKE, PROXY, RANDOM
from nastransfer_nni.report.tables.text import markdown

ROW, WIDTH = 0.16, 6.6
"""Height of a line and width of a picture, in inches."""
LABEL = 44
"""Letters in a line of a label."""
COLORS = {
    "better": PALETTE[0],
    "worse": PALETTE[1],
    "equivalent": PALETTE[2],
    "depends on the tail": PALETTE[3],
}
"""Colours of findings by how they begin; all others are grey."""

SIZES = "Searches (distinct cells) / random"

Target = tuple[dict[str, Any], dict[str, Any]]
"""A body of evidence, and one of its targets."""


@dataclass(frozen=True)
class Line:
    """A line of a picture.

    Attributes:
        label: what it shows.
        interval: the estimate with its limits.
        color: colour of its dot.
        marks: other values on the line, by the marker that shows them.
    """

    label: str
    interval: Sequence[float | None]
    color: str
    marks: dict[str, float]


def write(results: Path, names: Sequence[str]) -> None:
    """Write the tables into README.md, and the pictures.

    Args:
        results: folder of all results.
        names: bodies of evidence in the order of the page; those without stored figures are left out.
    """
    bodies = [body for name in names if (body := read_object(results / "evidence" / f"{name}.json"))]
    page = results / "README.md"
    text = page.read_text("utf-8")
    for name, table in (("proxy", proxies), ("alike", agreements), ("random", gains), ("checks", checked)):
        text = between(text, name, markdown(table(bodies)))
    write_text(page, text)
    tables = results.parent / "docs" / "tables.md"
    write_text(tables, between(tables.read_text("utf-8"), "taus", markdown(taus(bodies))))
    (results / "figures").mkdir(exist_ok=True)
    for name, draw in (("proxies", proxy_picture), ("agreement", agreement_picture), ("gain", gain_picture)):
        with replacing(results / "figures" / f"{name}.png") as scratch:
            scratch.write_bytes(style.png(style.styled(draw, bodies)))


def between(text: str, name: str, content: str) -> str:
    """The text with what is between the marks of a name replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    assert found, f"README.md has no mark {start.strip()}"
    assert closed, f"README.md has no mark {end}"
    return f"{before}{start}{content}{end}{after}"


# Tables


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
        **_largest(blind, target, "Against the size alone"),
        "Mean changes": mean.removeprefix("mean: "),
        "Ranking changes": ranking or mean,
    }


def _largest(pairs: Sequence[dict[str, Any]], target: dict[str, Any], name: str) -> dict[str, str]:
    """The largest difference of some pairs of proxies, in points and in standard deviations."""
    if not pairs:
        return {}
    row = max(pairs, key=lambda each: abs(each["points"][0]))
    better, worse = (row["a"], row["b"]) if row["points"][0] > 0 else (row["b"], row["a"])
    sds = _scaled(row["points"], 1 / target["random"]["sd"])
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
        rows.append({"Evidence": _name(body, target), **cells, size: sizes[size], "Limit": body["limit"]})
    frame = pd.DataFrame(rows).fillna("")
    frame = frame[[name for name in frame.columns if name not in (size, "Limit")] + [size, "Limit"]]
    return frame[[name for name in frame.columns if (frame[name] != "").any()]]


def _name(body: dict[str, Any], target: dict[str, Any]) -> str:
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


def _scaled(interval: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if each is None else each * factor for each in interval]


def _absolute(interval: Sequence[float | None]) -> str:
    """An interval turned so that the difference is positive."""
    value, low, high = interval
    if value is not None and value < 0 and low is not None and high is not None:
        return _text([-value, -high, -low])
    return _text(interval)


# Pictures


def proxy_picture(bodies: Sequence[dict[str, Any]]) -> Figure:
    """Differences between proxies in standard deviations of random networks."""
    groups = []
    for body, target in targets(bodies):
        sd = target["random"]["sd"]
        lines = [
            Line(
                label=f"{each['a']} − {each['b']}",
                interval=_scaled(each["points"], 1 / sd),
                color=_color("better" if each["verdict"] == "differs" else each["verdict"]),
                marks={},
            )
            for each in target["proxies"]
            if each["points"][0] is not None and sd
        ]
        groups.append((_name(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
    figure, axes = _lines(groups, "difference in mean accuracy, in standard deviations of random networks")
    axes.axvspan(-0.5, 0.5, color=PALETTE[2], alpha=0.12, lw=0)
    _legend(figure, [("differs", "o", PALETTE[0]), ("equivalent", "o", PALETTE[2]), ("undecided", "o", GREY)])
    return figure


def agreement_picture(bodies: Sequence[dict[str, Any]]) -> Figure:
    """Kendall's tau of every proxy, beside the best tenth, the ceiling and the size of the network."""
    groups = []
    for body, target in targets(bodies):
        lines = []
        for each in target["correlation"]:
            others = {"D": each["best_tenth"], "|": each["ceiling"], "x": each["params"]}
            marks = {
                marker: values[0] for marker, values in others.items() if values and values[0] is not None
            }
            lines.append(Line(each["source"], each["tau"], PALETTE[0], marks))
        groups.append((_name(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
    figure, _ = _lines(groups, "Kendall's tau between proxy and target")
    _legend(
        figure,
        [
            ("all networks", "o", PALETTE[0]),
            ("best tenth by the proxy", "D", PALETTE[1]),
            ("size of the network alone", "x", GREY),
            ("two trainings (ceiling)", "|", INK),
        ],
    )
    return figure


def gain_picture(bodies: Sequence[dict[str, Any]]) -> Figure:
    """What every strategy gains over random networks, in their standard deviations."""
    groups = []
    for body, target in targets(bodies):
        lines = [
            Line(each["who"], each["sds"], _color(each["finding"]), {})
            for each in target["improvement"]
            if each["sds"][1] is not None
        ]
        groups.append((_name(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
    figure, _ = _lines(groups, "gain over random networks, in their standard deviations")
    _legend(figure, [*((name, "o", color) for name, color in COLORS.items()), ("undecided", "o", GREY)])
    return figure


def _lines(groups: Sequence[tuple[str, Sequence[Line]]], name: str) -> tuple[Figure, Axes]:
    """Intervals below each other, under the headings of their groups."""
    shown = [(heading, lines) for heading, lines in groups if lines]
    height = ROW * sum(sum(_rows(line.label) for line in lines) + 1.4 for _, lines in shown)
    figure = Figure(figsize=(WIDTH, height + 0.9), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=GREY, lw=0.8)
    place, labels = 0.0, {}
    for heading, lines in shown:
        axes.text(
            0,
            place,
            heading,
            transform=axes.get_yaxis_transform(),
            weight="bold",
            va="center",
            fontsize=7.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        for line in lines:
            place += (_rows(line.label) + 1) / 2
            labels[place] = textwrap.fill(line.label, LABEL)
            value, low, high = line.interval
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=line.color, lw=1.4)
            axes.plot([value], [place], "o", ms=4.5, color=line.color)
            for marker, other in line.marks.items():
                axes.plot([other], [place], marker, **_mark(marker))
            place += (_rows(line.label) - 1) / 2
        place += 1.4
    axes.set_yticks(list(labels), list(labels.values()), fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(place, -1)
    axes.set_xlabel(name)
    return figure, axes


def _rows(label: str) -> float:
    """Height of a label, in rows of one line."""
    return 1 + 0.6 * (len(textwrap.wrap(label, LABEL)) - 1)


def _mark(marker: str) -> dict[str, Any]:
    looks: dict[str, dict[str, Any]] = {
        "D": {"color": PALETTE[1], "ms": 4, "mfc": "none"},
        "x": {"color": GREY, "ms": 5},
        "|": {"color": INK, "ms": 10, "mew": 1.8},
    }
    return looks[marker]


def _color(finding: str) -> str:
    return next((color for name, color in COLORS.items() if finding.startswith(name)), GREY)


def _legend(figure: Figure, entries: Sequence[tuple[str, str, str]]) -> None:
    handles = [
        Line2D(
            [],
            [],
            marker=marker,
            color=color,
            ls="",
            label=name,
            **({"mfc": "none"} if marker == "D" else {}),
        )
        for name, marker, color in entries
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
