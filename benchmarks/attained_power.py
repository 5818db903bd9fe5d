"""Does a study attain the power that its plan promises? Whole tables, analysed as a report does it.

    python -m benchmarks.attained_power                # 1000 studies a design, minutes

The plan's power comes from arrays of simulated studies (`report.statistics.power`). Here, studies of the same
designs are written as tables of results and analysed as any table is. Writes
benchmarks/results/attained_power.json.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.base.files import write_json
from nastransfer_nni.report.statistics.comparison import compare
from nastransfer_nni.report.statistics.improvement import Verdict, relative_improvement
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.power import MEAN, PlannedArm, PlannedDesign, Spread, power
from nastransfer_nni.report.statistics.table import BASELINE, COLUMNS

RESULTS = Path(__file__).parent / "results"
AGREEMENT = 0.05
"""Largest difference between promised and attained power."""
OPTIONS = AnalysisOptions(replicates=100)


def design(arms: list[tuple[int, int, int]], random_cells: int) -> PlannedDesign:
    """Strategies on one proxy, each with its draws, searches per draw and trainings per search."""
    return PlannedDesign(
        arms=tuple(
            PlannedArm(name=f"s{i}", place="p", draws=draws, searches=searches, trainings=trainings)
            for i, (draws, searches, trainings) in enumerate(arms)
        ),
        random_cells=random_cells,
    )


DESIGNS = {
    "3 strategies, 3 searches, 24 random cells": (design([(1, 3, 1)] * 3, 24), Spread(), 0.5),
    "3 strategies, 4 draws of 2 searches, 16 random cells": (
        design([(4, 2, 1)] * 3, 16),
        Spread(draw=0.1),
        0.3,
    ),
    "unequal: 3, 5 and 8 searches and 4 draws, 2 trainings, 5% collapse, 12 random cells": (
        design([(1, 3, 2), (1, 5, 2), (1, 8, 2), (4, 1, 2)], 12),
        Spread(training=0.2, draw=0.1, collapse_rate=0.05),
        0.4,
    ),
}


def table(planned: PlannedDesign, spread: Spread, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    """The results table of one simulated study."""
    draws = spread.draw * rng.normal(size=max(arm.draws for arm in planned.arms))
    rows: list[dict[str, Any]] = []

    def train(mean: float, trainings: int, **columns: Any) -> None:
        cell = mean + spread.search * rng.normal()
        name = f"cell {len(rows)}"
        for _ in range(trainings):
            top1 = cell + spread.training * rng.normal()
            rows.append({**columns, "genotype": name, "train_seed": str(len(rows)), "top1": top1})

    for arm in planned.arms:
        for draw, search in np.ndindex(arm.draws, arm.searches):
            is_collapsed = rng.random() < spread.collapse_rate
            collapse = spread.collapse_depth * (is_collapsed - spread.collapse_rate)
            place = {"source": "s", "proxy": arm.place, "proxy_seed": str(draw)}
            seed = f"{draw}-{search}"
            mean = MEAN + effect + draws[draw] * (arm.draws > 1) - collapse
            train(mean, arm.trainings, strategy=arm.name, search_seed=seed, **place)
    for cell in range(planned.random_cells):
        train(MEAN, planned.random_trainings, strategy=BASELINE, search_seed=f"{cell}")
    frame = pd.DataFrame(rows).assign(target="t")
    missing = {name: "" for name in COLUMNS if name not in frame}
    return frame.assign(**missing).fillna({"source": "", "proxy": "", "proxy_seed": ""})


def run(name: str, studies: int, seed: int) -> dict[str, Any]:
    """Promised and attained power of one design, averaged over its arms."""
    planned, spread, effect = DESIGNS[name]
    promised = power(planned, spread, effect=effect, studies=4000, seed=seed)["power"].to_numpy()
    rng = np.random.default_rng(seed + 1)
    found = np.zeros(len(planned.arms))
    for _ in range(studies):
        frame = relative_improvement(compare(table(planned, spread, effect, rng), OPTIONS), OPTIONS)
        found += (frame["verdict"] == Verdict.BETTER).to_numpy()
    attained = found / studies
    return {
        "design": name,
        "promised": [round(float(each), 3) for each in promised],
        "attained": [round(float(each), 3) for each in attained],
        "largest_gap": float(np.abs(promised - attained).max()),
        "studies": studies,
    }


def main(argv: list[str] | None = None) -> None:
    """Compare promise and attainment of every design; exit code 1 where they differ by over 5 points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "attained_power.json")
    asked = parser.parse_args(argv)
    gc.freeze()  # statsmodels collects garbage at every correction
    rows = []
    for name in DESIGNS:
        rows.append(run(name, asked.studies, asked.seed))
        print(rows[-1], flush=True)
    write_json(asked.out, {"designs": rows})
    if max(row["largest_gap"] for row in rows) > AGREEMENT:
        sys.exit("promised and attained power differ by more than 5 points")


if __name__ == "__main__":
    main()
