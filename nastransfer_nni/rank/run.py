"""Ranking cells by cheap evaluations: evaluate, compare with known accuracies, write tables and a picture."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.base.files import replacing, write_text
from nastransfer_nni.rank.agreement import Agreement, agreement, ceiling
from nastransfer_nni.rank.cells import KnownCells, read
from nastransfer_nni.rank.config import NON_IDENTIFYING_OPTIONS, RankConfig
from nastransfer_nni.report.statistics import csv_file
from nastransfer_nni.report.statistics.correlation import Interval
from nastransfer_nni.report.tables.text import markdown, text_table
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError
from search_spaces.pareto import pareto_front

INTERVALS = ("tau", "rho", "recall", "regret")


def command(config: RankConfig) -> None:
    """Rank, and print the table and what it was written to."""
    run = rank(config)
    print((run.path / "rank.md").read_text(encoding="utf-8"))
    print(f"{run.path}: rank.md, rank.csv, cells.csv, pareto.svg, pareto.png, summary.json")


def rank(config: RankConfig) -> Run:
    """Evaluate the cells that are not evaluated yet, and write what the evaluations are worth.

    Returns:
        The run, with its summary in `finished`; its folder holds the table as `rank.md` and
        `rank.csv`, every value in `cells.csv`, and the picture as `pareto.svg` and `pareto.png`.

    Raises:
        UserError: something that the user can fix.
    """
    cells = read(config.cells, config.columns, config.target)
    try:
        space = cells.space
    except UserError as error:
        raise UserError(f"{config.cells}: {error}") from None
    for evaluation in config.evaluations:
        config.search_of(evaluation, space=space.text)  # a network that the space does not have shows here
    open_run = Run.open(
        "rank",
        names=[Path(config.cells).stem, config.source.text, f"seed{config.seed}"],
        options=config.model_dump(mode="json"),
        out=config.out,
        overwrite=config.overwrite,
        non_identifying=NON_IDENTIFYING_OPTIONS,
        defaults=RankConfig.defaults(),
    )
    with open_run as run:
        from nastransfer_nni.rank.measure import Measurement  # imports torch and NNI, which takes seconds

        measurement = Measurement(config, cells.genotypes, space, run.path)
        names = [evaluation.name for evaluation in config.evaluations]
        with EpochProgress("evaluations", len(names), unit="evaluation") as progress:
            progress.line(_introduction(config, cells, run))
            found = []
            for number, evaluation in enumerate(config.evaluations):
                measurement.run(evaluation, partial(progress.advance, number))
                values = measurement.values(evaluation)
                compared = _compared(config, cells, values)
                seconds = measurement.seconds(evaluation)
                found.append(_row(evaluation.name, evaluation.sees, compared, seconds) | {"values": values})
                progress.line(_said(found[-1], compared, f"{number + 1}/{len(names)}"))
        for epoch, values in cells.curves.items():
            name = f"{epoch} epoch{'s' * (epoch > 1)} of the known training"
            found.append(_row(name, "", _compared(config, cells, values), float("nan")) | {"values": values})
        noise = config.noise or cells.noise
        limit = ceiling(cells.top1, cells.trainings, noise, replicates=config.replicates) if noise else None
        unit = "CPU seconds" if measurement.is_cpu_time else "seconds"
        run.finished = _write(run.path, config, cells, found, limit, unit)
        run.complete(run.finished)
    return run


def _compared(config: RankConfig, cells: KnownCells, values: np.ndarray) -> Agreement:
    rows = np.flatnonzero(~np.isnan(values))
    return agreement(
        values[rows],
        cells.top1[rows],
        [cells.strategies[row] for row in rows],
        top=config.top,
        confidence=config.confidence,
        replicates=config.replicates,
        seed=config.seed,
    )


def _row(name: str, sees: str, found: Agreement, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"evaluation": name, "sees": sees, "cells": found.cells}
    for measure in INTERVALS:
        value, low, high = getattr(found, measure)
        row |= {measure: value, f"{measure}_low": low, f"{measure}_high": high}
    return row | {"seconds": seconds}


def _said(row: dict[str, Any], found: Agreement, number: str) -> str:
    return f"{number} {row['evaluation']}: tau {_interval(found.tau)}, {row['seconds']:.3g} s a cell"


def _introduction(config: RankConfig, cells: KnownCells, run: Run) -> str:
    return (
        f"{run.path}: {len(cells.genotypes)} cells of {config.cells}, top-1 {cells.top1.min():.2f} to "
        f"{cells.top1.max():.2f}; networks of {config.layers} cells of width {config.width} on "
        f"{config.source.text}, proxy {config.proxy.text}"
    )


def _write(
    folder: Path,
    config: RankConfig,
    cells: KnownCells,
    found: list[dict[str, Any]],
    limit: Interval | None,
    unit: str,
) -> dict[str, Any]:
    """Write the files of a ranking; returns the summary."""
    values = pd.DataFrame({row["evaluation"]: row.pop("values") for row in found})
    table = pd.DataFrame(found)
    table["on_front"] = _on_front(table)
    genotypes = [str(genotype) for genotype in cells.genotypes]
    known = pd.DataFrame({"genotype": genotypes, "top1": cells.top1, "trainings": cells.trainings})
    for name, frame in (("rank", table), ("cells", pd.concat([known, values], axis=1))):
        with replacing(folder / f"{name}.csv") as scratch:
            csv_file.write(frame, scratch)
    best = f"best {min(config.top, len(genotypes) // 2)}"
    write_text(folder / "rank.md", markdown(_as_text(table, best, unit)) + _notes(cells, config, limit))
    _draw(folder, table, limit, unit)
    return {
        "cells": len(genotypes),
        "noise": config.noise or cells.noise,
        "ceiling": None if limit is None else [_plain(each) for each in limit],
        "cost": unit,
        "top": config.top,
        "evaluations": [
            {name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")
        ],
    }


def _draw(folder: Path, table: pd.DataFrame, limit: Interval | None, unit: str) -> None:
    from nastransfer_nni.rank.picture import picture  # imports Matplotlib, which takes a second
    from nastransfer_nni.report.plots import style

    figure = style.styled(picture, table, limit, unit)
    write_text(folder / "pareto.svg", style.svg(figure))
    with replacing(folder / "pareto.png") as scratch:
        scratch.write_bytes(style.png(figure))


def _on_front(table: pd.DataFrame) -> list[bool]:
    """Whether no other evaluation has a higher tau at no more cost, which is known to two digits.

    Evaluations without a cost are not compared, and one that orders cells no better than chance never is on
    the front.
    """
    known = table.index[table["seconds"].notna() & (table["tau"] > 0)]
    cost = [float(f"{seconds:.1e}") for seconds in table.loc[known, "seconds"]]
    front = pareto_front(np.column_stack([cost, -table.loc[known, "tau"]]))
    chosen = set(known[front])
    return [row in chosen for row in table.index]


def _as_text(table: pd.DataFrame, best: str, unit: str) -> pd.DataFrame:
    def intervals(name: str, form: str = "{:.2f}") -> list[str]:
        columns = (table[name], table[f"{name}_low"], table[f"{name}_high"])
        return [_interval(each, form) for each in zip(*columns, strict=True)]

    return text_table(
        {
            "Evaluation": table["evaluation"],
            "Sees": table["sees"],
            "Cells": [str(count) for count in table["cells"]],
            "Kendall's tau": intervals("tau"),
            "Spearman's rho": intervals("rho"),
            f"Finds of the {best}": intervals("recall", "{:.0%}"),
            "Regret, points": intervals("regret"),
            f"{unit} a cell": ["" if math.isnan(each) else f"{each:.3g}" for each in table["seconds"]],
            "On the front": ["yes" if each else "" for each in table["on_front"]],
        }
    )


def _notes(cells: KnownCells, config: RankConfig, limit: Interval | None) -> str:
    lines = [
        "",
        f"Intervals cover {config.confidence:.0%}, over cells. Regret is the top-1 that is lost by "
        "choosing the best cell by the evaluation.",
    ]
    if limit is None:
        lines.append("The noise of the accuracies is not known (`--noise`), and so no ceiling of tau.")
    else:
        noise = config.noise or cells.noise
        lines.append(
            f"With {noise:.2g} points between trainings of one cell, a perfect evaluation would reach a tau "
            f"of {_interval(limit)}, where 95% of repeated measurements would lie."
        )
    return "\n".join([*lines, ""])


def _interval(found: Interval, form: str = "{:.2f}") -> str:
    value, low, high = found
    if math.isnan(value):
        return ""
    known = "" if math.isnan(low) else f" ({form.format(low)} to {form.format(high)})"
    return form.format(value) + known


def _plain(value: Any) -> Any:
    """The value for JSON, which has no NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
