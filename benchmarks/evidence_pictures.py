"""The pictures on what is known, from stored figures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.evidence_tables import scaled, targets, title
from nastransfer_nni.report.plots.style import GREY, INK, PALETTE

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


def proxy_picture(bodies: Sequence[dict[str, Any]]) -> Figure:
    """Differences between proxies in standard deviations of random networks."""
    groups = []
    for body, target in targets(bodies):
        sd = target["random"]["sd"]
        lines = [
            Line(
                label=f"{each['a']} − {each['b']}",
                interval=scaled(each["points"], 1 / sd),
                color=_color("better" if each["verdict"] == "differs" else each["verdict"]),
                marks={},
            )
            for each in target["proxies"]
            if each["points"][0] is not None and sd
        ]
        groups.append((title(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
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
        groups.append((title(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
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
        groups.append((title(body, target), sorted(lines, key=lambda line: line.interval[0] or 0)))
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
