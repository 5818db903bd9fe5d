from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest

from nastransfer_nni.report.plots.inline import inline_svg
from nastransfer_nni.report.plots.intervals import improvement_figure
from nastransfer_nni.report.plots.scatter import correlation_figure, cost_figure
from nastransfer_nni.report.plots.style import single, styled, svg
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions


def test_an_unbounded_interval_leaves_the_figure_at_its_edge():
    rows = pd.DataFrame(
        {
            "source": "",
            "proxy": "",
            "strategy": ["darts", "enas"],
            "relative_improvement": [1.0, 2.0],
            "ci_low": [-float("inf"), 1.0],
            "ci_high": [float("inf"), 3.0],
            "verdict": Verdict.UNDECIDED,
            "margin_percent": float("nan"),
        }
    )
    axes = styled(improvement_figure, rows, AnalysisOptions()).axes[0]
    low, high = axes.get_xlim()
    assert low < 0 < 3 < high < 5
    assert any(min(line.get_xdata()) < low and max(line.get_xdata()) > high for line in axes.lines[:6])


def test_every_dot_is_on_the_line_of_its_strategy():
    """In any order of the rows: here they are grouped by strategy, while the figure groups them by proxy."""
    cells = [
        (proxy, strategy)
        for strategy in ("darts", "enas", "evolution")
        for proxy in ("all", "classes:5", "images:0.5")
    ]
    rows = pd.DataFrame(
        {
            "source": "cifar10",
            "proxy": proxy,
            "strategy": strategy,
            "relative_improvement": float(number),
            "ci_low": number - 0.5,
            "ci_high": number + 0.5,
            "verdict": Verdict.BETTER,
            "margin_percent": 0.5,
        }
        for number, (proxy, strategy) in enumerate(cells)
    )
    axes = styled(improvement_figure, rows, AnalysisOptions()).axes[0]
    heads = {text.get_text().removeprefix("cifar10 / "): text.get_position()[1] for text in axes.texts}
    names = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    seen = {}
    for line in axes.lines:
        if line.get_marker() == "^" and len(line.get_xdata()):  # the legend has dots without data
            value, place = line.get_xdata()[0], line.get_ydata()[0]
            proxy = max((y, head) for head, y in heads.items() if y < place)[1]
            seen[proxy, names[place]] = value
    assert seen == {cell: float(number) for number, cell in enumerate(cells)}


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [
        ((0.5, 3, 7), "seconds"),
        ((113.7, 114.4), "seconds"),
        ((30,), "seconds"),
        ((600, 5_000), "minutes"),
        ((9e3, 1.6e4, 2.4e5), "hours"),
        ((2e5, 9e6), "days"),
        ((1, 1e4, 1e9), "hours"),
    ],
)
def test_search_costs_have_a_unit_that_fits_and_ticks_that_do_not_touch(seconds, unit):
    rows = pd.DataFrame({"search_seconds": [*seconds, 0.0]}).assign(
        strategy="a", top1=range(len(seconds) + 1), on_front=True
    )
    figure = styled(cost_figure, rows)
    svg(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel() == f"search cost, {unit}"
    low, high = axes.get_xlim()
    labels = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert len(boxes) >= 2
    assert all(one.x1 + 2 < two.x0 for one, two in pairwise(boxes))


@pytest.mark.parametrize(
    "name", ["a" * 200, "x (" + ", ".join(f"option{i}=1" for i in range(30)) + ")", "神经网络"]
)
def test_long_and_foreign_names_leave_room_for_the_figure(name, recwarn):
    rows = pd.DataFrame({"search_seconds": [1.0, 9.0], "strategy": name, "top1": 1.0, "on_front": True})
    figure = styled(cost_figure, rows)
    svg(figure)
    assert figure.axes[0].get_position().height > 0.4
    assert not [each for each in recwarn if issubclass(each.category, UserWarning)]


def test_every_dot_of_a_figure_tells_its_own_run():
    """The dots are found by their places on the axes, whatever the order in which they are drawn."""
    cells = pd.DataFrame(
        {
            "strategy": ["b", "a", "random", "a"],
            "source_top1": [50.0, 60.0, 70.0, 80.0],
            "top1": [91.0, 92.0, 93.0, 94.0],
        }
    )
    result = SimpleNamespace(source="", cells=cells.assign(tip=[f"<{x:.0f}>" for x in cells["source_top1"]]))
    figure = styled(correlation_figure, result)
    page = ElementTree.fromstring(
        inline_svg(svg(figure), "a text", figure.tips).replace("xlink:href", "href"),
    )
    dots = [each for each in page.iter() if each.get("class") == "dot"]
    told = {float(dot.get("x")): next(iter(dot)).text for dot in dots}
    assert [told[x] for x in sorted(told)] == ["<50>", "<60>", "<70>", "<80>"]
    assert page.get("role") == "group"
    ids = [each.get("id") for each in page.iter() if each.get("id")]
    assert len(ids) == len(set(ids))


def test_a_group_whose_dots_are_not_all_drawn_tells_nothing():
    figure, axes = single(2.0)
    figure.dots(axes, ([1.0, float("nan")], [1.0, 2.0]), "o", ["one", "two"])
    text = inline_svg(styled(lambda: figure) and svg(figure), "a text", figure.tips)
    assert "<title>" not in text
    assert text.startswith('<svg role="img" aria-label="a text"')
