import pandas as pd

from nastransfer_nni.report.figures import improvement_figure
from nastransfer_nni.report.statistics.improvement import Options


def test_every_dot_stands_beside_the_strategy_that_it_is_of():
    """Whatever the order of the rows: here strategy by strategy, while the figure goes proxy by proxy."""
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
            "verdict": "better",
        }
        for number, (proxy, strategy) in enumerate(cells)
    )
    axes = improvement_figure(rows, Options()).axes[0]
    heads = {text.get_text().removeprefix("cifar10 / "): text.get_position()[1] for text in axes.texts}
    names = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    seen = {}
    for line in axes.lines:
        if line.get_marker() == "o" and len(line.get_xdata()):  # the key below has dots without a place
            value, place = line.get_xdata()[0], line.get_ydata()[0]
            proxy = max((y, head) for head, y in heads.items() if y < place)[1]
            seen[proxy, names[place]] = value
    assert seen == {cell: float(number) for number, cell in enumerate(cells)}
