import pandas as pd

from nastransfer_nni.report.plots import improvement_figure
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions


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
        }
        for number, (proxy, strategy) in enumerate(cells)
    )
    axes = improvement_figure(rows, AnalysisOptions()).axes[0]
    heads = {text.get_text().removeprefix("cifar10 / "): text.get_position()[1] for text in axes.texts}
    names = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    seen = {}
    for line in axes.lines:
        if line.get_marker() == "o" and len(line.get_xdata()):  # the legend has dots without data
            value, place = line.get_xdata()[0], line.get_ydata()[0]
            proxy = max((y, head) for head, y in heads.items() if y < place)[1]
            seen[proxy, names[place]] = value
    assert seen == {cell: float(number) for number, cell in enumerate(cells)}
