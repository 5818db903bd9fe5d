"""The strategies on NAS-Bench-201's table (Dong and Yang, ICLR 2020): many searches without any training.

    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201              # 200 seeds, minutes
    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201 --seeds 20

A search sees the validation accuracy after 12 epochs; the table holds all 15,625 cells. It is read from
`$NASTRANSFER_DATA/nas_bench_201/accuracies.parquet`: cell, and <data set>_val, <data set>_test for each set.
Shown are the best accuracy that random search and regularized evolution find in 300 evaluations, and how much
of the true front of accuracy against mult_adds nsga2 finds. Writes benchmarks/results/nas_bench_201.json.
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

import strategies
from nastransfer_nni.base.files import write_json
from search_spaces.nni_api import (
    Categorical,
    ExecutableModelSpace,
    ModelSpace,
    SequentialExecutionEngine,
    SimplifiedModelSpace,
    nni,
)
from strategies.interfaces import SearchContext, Tables
from strategies.multitrial import CandidateEvaluator, MultiTrialStrategy

RESULTS = Path(__file__).parent / "results"
TABLE = Path("nas_bench_201") / "accuracies.parquet"
DATA_SETS = ("cifar10", "cifar100", "imagenet16_120")
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = tuple((node, state) for node in (1, 2, 3) for state in range(node))
CELLS, CHANNELS, PIXELS = 5, (16, 32, 64), (32, 16, 8)
"""Cells of a stage, and the stages: how the table's networks were built."""


class CellSpace(ModelSpace):  # type: ignore[misc]
    """The cell of NAS-Bench-201 as an NNI space: an operation for each of six edges."""

    def __init__(self) -> None:
        super().__init__()
        for node, state in EDGES:
            self.add_mutable(Categorical(OPERATIONS, label=f"op_{node}_{state}"))


def cell(sample: dict[str, Any]) -> str:
    """A sample in the table's notation: `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...`."""
    nodes = (
        "|" + "|".join(f"{sample[f'op_{node}_{state}']}~{state}" for state in range(node)) + "|"
        for node in (1, 2, 3)
    )
    return "+".join(nodes)


def mult_adds(cell: str) -> int:
    """Multiply-adds of the convolutions inside the cells, the only part that the choice decides."""
    area = sum(channels**2 * pixels**2 for channels, pixels in zip(CHANNELS, PIXELS, strict=True))
    return CELLS * area * (cell.count("nor_conv_1x1") + 9 * cell.count("nor_conv_3x3"))


@cache
def table() -> pd.DataFrame:
    """All cells with their accuracies, in percent."""
    path = Path(os.environ.get("NASTRANSFER_DATA", "")) / TABLE
    if not path.exists():
        raise SystemExit(f"{TABLE} is not under NASTRANSFER_DATA")
    return pd.read_parquet(path).set_index("cell")


@cache
def _accuracies(data_set: str) -> dict[str, float]:
    return {str(name): float(value) for name, value in table()[f"{data_set}_val"].items()}


class Lookup(CandidateEvaluator):
    """Reads a candidate's validation accuracy off the table."""

    training_images = 25_000 * 12
    workers = 1

    def __init__(self, data_set: str, context: SearchContext) -> None:
        self.accuracies, self.context, self.recorder = _accuracies(data_set), context, Silence()

    def architecture(self, sample: dict[str, Any]) -> str:
        """The table's name of the cell."""
        return cell(sample)

    def _execute(self, model: ExecutableModelSpace) -> None:
        """Report without building a network."""
        nni.report_final_result(self.accuracies[cell(model.sample)])


class Silence:
    """A recorder that keeps nothing."""

    def expect(self, total: int) -> None:
        """Keep nothing."""

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Keep nothing."""

    def record(self, epoch: int, genotype: Any, mixture: Tables, top1: float) -> None:
        """Keep nothing."""

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Keep nothing."""


def search(text: str, data_set: str, seed: int, counts: bool = False) -> MultiTrialStrategy[Any]:
    """Run the strategy `text` on the table, in NNI's sequential engine."""
    strategy = strategies.parse(text).create()
    evaluator = Lookup(data_set, SearchContext(seed=seed, mult_adds=mult_adds if counts else None))
    strategy(SimplifiedModelSpace.from_model(CellSpace(), evaluator), SequentialExecutionEngine())
    assert isinstance(strategy, MultiTrialStrategy)
    return strategy


def found(strategy: MultiTrialStrategy[Any]) -> str:
    """The cell that a search has chosen."""
    history = strategy.history
    return str(strategy.proposer.architecture(history[strategy.proposer.best(history)].code))


def true_front(data_set: str) -> npt.NDArray[np.float64]:
    """(mult_adds, accuracy) of the undominated of all cells, by brute force."""
    points = sorted((mult_adds(name), -accuracy) for name, accuracy in _accuracies(data_set).items())
    front: list[tuple[int, float]] = []
    for cost, loss in points:
        if not front or -loss > front[-1][1]:
            front.append((cost, -loss))
    return np.array(front, dtype=float)


def hypervolume(points: npt.NDArray[np.float64], worst: tuple[float, float]) -> float:
    """Area that a front of (mult_adds, accuracy) dominates, up to the `worst` of each."""
    from pymoo.indicators.hv import HV

    return float(HV(ref_point=np.array([worst[0], -worst[1]]))(points * [1, -1]))


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and its 95% interval by Student's t."""
    mean, error = float(values.mean()), float(stats.sem(values))
    half = error * float(stats.t.ppf(0.975, len(values) - 1))
    return mean, mean - half, mean + half


def compare(seeds: int, evaluations: int) -> list[dict[str, Any]]:
    """Best accuracy of evolution and of random search on every data set, and their difference."""
    rows = []
    for data_set in DATA_SETS:
        best = {
            text: [found(search(text, data_set, seed)) for seed in range(seeds)]
            for text in (f"evolution:candidates={evaluations}", f"random:candidates={evaluations}")
        }
        for part in ("val", "test"):
            evolution, random = (
                table().loc[cells, f"{data_set}_{part}"].to_numpy(float) for cells in best.values()
            )
            mean, low, high = interval(evolution - random)
            rows.append(
                {
                    "data_set": data_set,
                    "part": part,
                    "evolution": float(evolution.mean()),
                    "random": float(random.mean()),
                    "best_of_all": float(table()[f"{data_set}_{part}"].max()),
                    "difference": mean,
                    "interval": [low, high],
                }
            )
            print(
                f"{data_set:>15} {part:>4}: evolution {evolution.mean():.3f}, random {random.mean():.3f}, "
                f"best of all {rows[-1]['best_of_all']:.3f}; difference {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            )
    return rows


def fronts(seeds: int, generations: int) -> list[dict[str, Any]]:
    """How much of the true front's hypervolume nsga2 dominates, on every data set."""
    rows = []
    for data_set in DATA_SETS:
        true = true_front(data_set)
        worst = (float(true[:, 0].max()) * 1.01, 0.0)
        text = f"evolution:selection=nsga2,generations={generations}"
        shares, members = [], []
        for seed in range(seeds):
            front = search(text, data_set, seed, counts=True).result.front
            points = np.array([(member.mult_adds, member.score) for member in front], dtype=float)
            shares.append(hypervolume(points, worst) / hypervolume(true, worst))
            members.append(sum(tuple(point) in set(map(tuple, true)) for point in points))
        mean, low, high = interval(np.array(shares))
        rows.append(
            {
                "data_set": data_set,
                "hypervolume_share": mean,
                "interval": [low, high],
                "true_members": len(true),
                "members_found": float(np.mean(members)),
            }
        )
        print(
            f"{data_set:>15}: nsga2's front has {mean:.4f} [{low:.4f}, {high:.4f}] of the true one's "
            f"hypervolume, and {np.mean(members):.1f} of its {len(true)} members"
        )
    return rows


def main() -> None:
    """Run both comparisons and write their results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--front-seeds", type=int, default=10)
    parser.add_argument("--generations", type=int, default=30)
    options = parser.parse_args()
    results = {
        "options": vars(options),
        "best": compare(options.seeds, options.evaluations),
        "fronts": fronts(options.front_seeds, options.generations),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "nas_bench_201.json", results)


if __name__ == "__main__":
    main()
