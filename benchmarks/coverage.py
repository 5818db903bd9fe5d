"""Do the report's intervals cover, do its tests keep their level? On simulated studies with known effects.

    python -m benchmarks.coverage                      # 4000 simulations a design, minutes
    python -m benchmarks.coverage --simulations 1000 --jobs 2

Every design is drawn anew many times with a true relative improvement that is known. The table shows how
often the 95% interval covers it, beside other intervals on the same data, and how often a true null
hypothesis is refused. Writes benchmarks/results/coverage.json.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from nastransfer_nni.base.files import write_json
from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, MIN_UNITS, arm
from nastransfer_nni.report.statistics.improvement import Comparison, compare, relative_improvement
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import BASELINE, Setting

Floats = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
MEAN = 95.0
DEVIATION = 0.23
"""Points of top-1: between random cells of the DARTS space (Yang et al., ICLR 2020)."""


@dataclass(frozen=True)
class Design:
    """A simulated study of one strategy on one proxy.

    Attributes:
        shape: proxy draws, searches per draw, trainings per search.
        random: random cells, trainings per cell.
        noise: normal, skewed (gamma 2, to the left), heavy (Student's t with 5 degrees).
        spread: standard deviations of draws, searches, trainings, in units of `DEVIATION`.
        random_spread: standard deviations of cells and trainings of the random arm, in the same units.
    """

    shape: tuple[int, int, int]
    random: tuple[int, int]
    noise: str = "normal"
    spread: tuple[float, float, float] = (0.0, 0.9, 0.45)
    random_spread: tuple[float, float] = (0.9, 0.45)

    @property
    def is_supported(self) -> bool:
        """Whether the report calls its runs sufficient."""
        draws, searches, trainings = self.shape
        units = draws if draws > 1 else searches
        enough = min(draws * searches * trainings, self.random[0] * self.random[1]) >= MIN_RUNS
        return enough and min(units, draws * searches, self.random[0]) >= MIN_UNITS


NESTED = (0.5, 0.8, 0.4)
DESIGNS = (
    Design((1, 8, 1), (8, 1)),
    Design((1, 8, 1), (24, 1)),
    Design((1, 8, 1), (8, 1), spread=(0.0, 0.3, 0.2)),
    Design((1, 8, 1), (8, 1), "skewed"),
    Design((1, 8, 1), (8, 1), "heavy"),
    Design((1, 12, 1), (12, 1)),
    Design((1, 20, 1), (20, 1)),
    Design((1, 4, 2), (8, 2)),
    Design((8, 1, 1), (8, 1), spread=NESTED),
    Design((3, 3, 1), (9, 1), spread=NESTED),
    Design((4, 2, 2), (8, 2), spread=NESTED),
    Design((4, 2, 1), (16, 1), "skewed", NESTED),
    Design((8, 3, 2), (16, 2), spread=NESTED),
    Design((1, 3, 1), (3, 1)),
    Design((1, 5, 1), (5, 1)),
    Design((2, 4, 1), (8, 1), spread=NESTED),
)


def _noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Errors of mean 0 and variance 1."""
    if kind == "skewed":
        return -(rng.gamma(2, size=shape) - 2) / np.sqrt(2)
    if kind == "heavy":
        return rng.standard_t(5, size=shape) / np.sqrt(5 / 3)
    return rng.normal(size=shape)


def _nested(
    shape: tuple[int, int, int], spread: tuple[float, ...], noise: str, rng: np.random.Generator
) -> Floats:
    """Errors [draws, searches, trainings], in points of top-1."""
    parts = [
        size * DEVIATION * _noise(noise, (*shape[: level + 1], *[1] * (2 - level)), rng)
        for level, size in enumerate(spread)
    ]
    return np.asarray(sum(parts) + np.zeros(shape))


def _rows(strategy: str, shape: tuple[int, int, int]) -> pd.DataFrame:
    """The rows of one strategy, without top1."""
    seeds = [(str(draw), f"{draw}-{search}", str(training)) for draw, search, training in np.ndindex(shape)]
    frame = pd.DataFrame(seeds, columns=["proxy_seed", "search_seed", "train_seed"])
    names = ("protocol", "protocol_hash", "strategy_options", "source", "proxy", "genotype")
    return frame.assign(target="t", strategy=strategy, **dict.fromkeys(names, ""))


def run(design: Design, simulations: int, replicates: int, seed: int) -> dict[str, Any]:
    """How often intervals cover, and tests refuse what is true, over `simulations` draws of `design`."""
    rng = np.random.default_rng(seed)
    options = AnalysisOptions(replicates=replicates)
    shapes = {"searched": design.shape, BASELINE: (1, *design.random)}
    rows = {name: _rows(name, shape) for name, shape in shapes.items()}
    hits: dict[str, list[float]] = {}
    for index in range(simulations):
        effect = float(rng.choice([0.0, 0.3, 1.0]))
        values = {
            "searched": MEAN * (1 + effect / 100) + _nested(design.shape, design.spread, design.noise, rng),
            BASELINE: MEAN + _nested(shapes[BASELINE], (0.0, *design.random_spread), design.noise, rng),
        }
        arms = [
            arm(rows[name].assign(top1=values[name].ravel()), "top1", replicates, index, name == BASELINE)
            for name in shapes
        ]
        setting = Setting("t", "", "")
        comparison = Comparison(
            setting=setting,
            source="",
            proxy="",
            strategy="searched",
            rows=rows["searched"],
            pool=rows[BASELINE],
            searched=arms[0],
            random=arms[1],
        )
        low, high = np.quantile(comparison.replicates, options.tails)
        below = comparison.probability_below(effect)
        found = {
            "report": low <= effect <= high,
            "width": high - low,
            **_others([values[name] for name in shapes], effect, options, rng),
            "type_1": 2 * min(below, 1 - below) < options.alpha,
            "type_1_equivalence": 1 - below < options.alpha,  # as if the true effect were the margin
        }
        for name, hit in found.items():
            hits.setdefault(name, []).append(float(hit))
    return {
        "draws x searches x trainings": "x".join(map(str, design.shape)),
        "random": "x".join(map(str, design.random)),
        "noise": design.noise,
        "supported": design.is_supported,
        **{name: float(np.mean(values)) for name, values in hits.items()},
        "simulations": simulations,
    }


def _others(
    values: list[Floats], effect: float, options: AnalysisOptions, rng: np.random.Generator
) -> dict[str, bool]:
    """Whether other intervals cover, from the means of the same independent units."""
    units = [each.mean((1, 2)) if len(each) > 1 else each[0].mean(1) for each in values]
    welch = stats.ttest_ind(*units, equal_var=False).confidence_interval(options.confidence)
    picked = [each[rng.integers(len(each), size=(options.replicates, len(each)))] for each in units]
    means = [each.mean(1) for each in picked]
    percentile = np.quantile(100 * (means[0] / means[1] - 1), options.tails)
    gap = units[0].mean() - units[1].mean()
    error = np.sqrt(sum(each.var(ddof=1) / len(each) for each in units))
    resampled = np.sqrt(sum(each.var(1, ddof=1) / each.shape[1] for each in picked))
    with np.errstate(divide="ignore", invalid="ignore"):
        pivots = np.nan_to_num((means[0] - means[1] - gap) / resampled)
    low, high = gap - np.quantile(pivots, options.tails)[::-1] * error
    true = MEAN * effect / 100
    return {
        "percentile": bool(percentile[0] <= effect <= percentile[1]),
        "Welch": bool(welch.low <= true <= welch.high),
        "bootstrap-t": bool(low <= true <= high),
    }


def family(strategies: int, simulations: int, replicates: int, seed: int) -> float:
    """How often any of several strategies as good as random differs from it after Holm's correction."""
    rng = np.random.default_rng(seed)
    shapes = {f"s{index}": (1, 8, 1) for index in range(strategies)} | {BASELINE: (1, 8, 1)}
    table = pd.concat([_rows(name, shape) for name, shape in shapes.items()], ignore_index=True)
    wrong = 0
    for index in range(simulations):
        table["top1"] = MEAN + DEVIATION * rng.normal(size=len(table))
        options = AnalysisOptions(replicates=replicates, seed=index)
        found = relative_improvement(compare(table, options), options)
        wrong += bool((found["p_holm"] < options.alpha).any())
    return wrong / simulations


def main(argv: list[str] | None = None) -> None:
    """Run every design, print the table, write benchmarks/results/coverage.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=4000, help="studies drawn per design")
    parser.add_argument("--replicates", type=int, default=1000, help="bootstrap replicates per study")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "coverage.json")
    asked = parser.parse_args(argv)
    with ProcessPoolExecutor(asked.jobs) as pool:
        jobs = [
            pool.submit(run, design, asked.simulations, asked.replicates, asked.seed + index)
            for index, design in enumerate(DESIGNS)
        ]
        whole = pool.submit(family, 5, asked.simulations // 4, asked.replicates, asked.seed)
        rows = [job.result() for job in jobs]
        family_wise = whole.result()
    shares = ["report", "percentile", "Welch", "bootstrap-t", "type_1", "type_1_equivalence"]
    frame = pd.DataFrame(rows)
    shown = frame.assign(**{name: (100 * frame[name]).map("{:.1f}".format) for name in shares})
    print(shown.drop(columns="simulations").to_string(index=False, float_format="{:.2f}".format))
    supported = frame[frame["supported"]]
    low, high = supported["report"].min(), supported["report"].max()
    error = 100 * np.sqrt(0.95 * 0.05 / asked.simulations)
    print(
        f"\nWith the runs that a finding needs, 95% intervals cover {100 * low:.1f} to {100 * high:.1f}% "
        f"(standard error {error:.1f}); Type I error at most {100 * supported['type_1'].max():.1f}%, "
        f"of equivalence {100 * supported['type_1_equivalence'].max():.1f}%, of any of five strategies after "
        f"Holm's correction {100 * family_wise:.1f}%."
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        asked.out, {"options": {k: str(v) for k, v in vars(asked).items() if k != "out"}, "designs": rows}
    )
    if not (low >= 0.93 and high <= 0.97):
        sys.exit("coverage is outside 93 to 97%")


if __name__ == "__main__":
    main()
