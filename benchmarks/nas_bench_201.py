"""The strategies on NAS-Bench-201's table (Dong and Yang, ICLR 2020): many searches without any training.

    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201              # 200 seeds, half an hour
    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201 --seeds 20

A search sees the validation accuracy after 12 epochs; the tables hold all 15,625 cells. They are read from
`$NASTRANSFER_DATA`: `nas_bench_201/accuracies.parquet` with cell, and <data set>_val and <data set>_test for
each set; `transfer_tables/nas_bench_201_200.parquet` with test accuracies after 200 epochs. Shown are the
accuracies that every strategy finds in 300 evaluations, and how much of the true front of accuracy against
mult_adds nsga2 finds. What a search has found is kept in --out, so that the same command resumes. Writes
benchmarks/results/nas_bench_201.json.
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
import torch
from scipy import stats

import strategies
from nastransfer_nni.base.files import write_json
from nastransfer_nni.tabular import lookup
from nastransfer_nni.tabular.spaces import SPACES
from nastransfer_nni.tracking.journal import FileJournal
from strategies.multitrial import MultiTrialStrategy

RESULTS = Path(__file__).parent / "results"
TABLE = Path("nas_bench_201") / "accuracies.parquet"
LONG_TABLE = Path("transfer_tables") / "nas_bench_201_200.parquet"
DATA_SETS = ("cifar10", "cifar100", "imagenet16_120")
SPACE = SPACES["nas_bench_201"]
CONSTANT = SPACE.mult_adds("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
"""Multiply-adds of the part of a network that the choice of a cell does not decide."""

BASELINE = "random:candidates=300"
STRATEGIES = {
    BASELINE: DATA_SETS,
    "evolution:candidates=300": DATA_SETS,
    "evolution:selection=nsga2,generations=13": DATA_SETS,  # 40 + 13 * 20 evaluations
    "local_search:candidates=300": DATA_SETS,
    "local_search:candidates=300,move=best": DATA_SETS,
    "nao:evaluate=scratch,pool=100,new=50,rounds=4,top=25,max_step=20,hidden=32,predictor_layers=1,"
    "controller_epochs=40,controller_lr=3e-3": DATA_SETS[:1],
}
"""Strategies of 300 evaluations each, and the data sets that they search on. NAO trains controllers, which
takes many times as long as looking cells up."""


def mult_adds(cell: str) -> int:
    """Multiply-adds of the convolutions inside the cells, the only part that the choice decides."""
    return SPACE.mult_adds(cell) - CONSTANT


@cache
def table() -> pd.DataFrame:
    """All cells with their accuracies, in percent.

    Columns end in `_val` and `_test` for trainings of 12 epochs, and in `_test200` for the mean of up to
    three trainings of 200, which is missing where the published tables contradict each other. `params` and
    `mult_adds` are in millions.
    """
    folder = Path(os.environ.get("NASTRANSFER_DATA", ""))
    for path in (TABLE, LONG_TABLE):
        if not (folder / path).exists():
            raise SystemExit(f"{path} is not under NASTRANSFER_DATA")
    accuracies = pd.read_parquet(folder / TABLE).set_index("cell")
    long = pd.read_parquet(folder / LONG_TABLE).set_index("cell")
    long = long[long["consistent"]]
    accuracies["cifar10_test200"] = long.filter(like="cifar10_test_ep200").mean(axis=1)
    accuracies["imagenet16_120_test200"] = long["imagenet16_120_ep200"]
    for column, unit in (("params", "params_m"), ("mult_adds", "flops_m")):
        accuracies[column] = long[unit]
    return accuracies


@cache
def _accuracies(data_set: str) -> dict[str, float]:
    return {str(name): float(value) for name, value in table()[f"{data_set}_val"].items()}


def search(text: str, data_set: str, seed: int) -> MultiTrialStrategy[Any]:
    """Run the strategy `text` on the table, in NNI's sequential engine."""
    return lookup.search(strategies.parse(text), SPACE, _accuracies(data_set), seed)


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


def searches(seeds: int, out: Path) -> pd.DataFrame:
    """What every strategy finds on every data set: strategy, data_set, seed, cell, evaluations.

    `evaluations` is their number up to the best cell of the table; it is missing where that was not found.
    """
    journal = FileJournal(out / "found.jsonl")
    known = {(entry["strategy"], entry["data_set"], entry["seed"]): entry for entry in journal}
    for text, data_sets in STRATEGIES.items():
        for data_set in data_sets:
            best = max(_accuracies(data_set).values())
            for seed in range(seeds):
                if (text, data_set, seed) in known:
                    continue
                strategy = search(text, data_set, seed)
                scores = [evaluation.score for evaluation in strategy.history]
                entry = {
                    "strategy": text,
                    "data_set": data_set,
                    "seed": seed,
                    "cell": lookup.found(strategy),
                    "evaluations": scores.index(best) + 1 if best in scores else None,
                }
                known[text, data_set, seed] = entry
                journal.append(entry)
            print(f"{seeds} searches on {data_set} with {text}", flush=True)
    wanted = [entry for (text, _, seed), entry in known.items() if text in STRATEGIES and seed < seeds]
    return pd.DataFrame(wanted).set_index(["data_set", "strategy", "seed"]).sort_index()


def compare(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Accuracies of what the strategies find on every data set, and their differences from random search."""
    rows = []
    for data_set in DATA_SETS:
        for part in ("val", "test", "test200"):
            if (column := f"{data_set}_{part}") not in table():
                continue
            accuracy = cells.loc[data_set, "cell"].map(table()[column])
            for text in STRATEGIES:
                if text not in accuracy:
                    continue
                mean, low, high = interval(accuracy[text].dropna().to_numpy(float))
                difference = interval((accuracy[text] - accuracy[BASELINE]).dropna().to_numpy(float))
                evaluations = cells.loc[(data_set, text), "evaluations"].dropna()
                rows.append(
                    {
                        "data_set": data_set,
                        "part": part,
                        "strategy": text,
                        "searches": len(accuracy[text]),
                        "accuracy": mean,
                        "interval": [low, high],
                        "best_of_all": float(table()[column].max()),
                        "difference": difference[0],
                        "difference_interval": list(difference[1:]),
                        "share_that_found_the_best": len(evaluations) / len(accuracy[text]),
                        "evaluations_to_the_best": float(evaluations.mean()) if len(evaluations) else None,
                    }
                )
                print(
                    f"{column:>22}: {mean:.3f} [{low:.3f}, {high:.3f}], best {rows[-1]['best_of_all']:.3f}; "
                    f"difference {difference[0]:+.3f} [{difference[1]:+.3f}, {difference[2]:+.3f}]; found by "
                    f"{rows[-1]['share_that_found_the_best']:.0%} ({rows[-1]['evaluations_to_the_best']}); "
                    f"{text[:40]}"
                )
    return rows


def front_of(data_set: str, seed: int, generations: int) -> dict[str, Any]:
    """How much of the true front nsga2 finds: its share of the hypervolume, and how many of the members."""
    true = true_front(data_set)
    worst = (float(true[:, 0].max()) * 1.01, 0.0)
    front = search(f"evolution:selection=nsga2,generations={generations}", data_set, seed).result.front
    points = np.array([(member.mult_adds - CONSTANT, member.score) for member in front], dtype=float)
    return {
        "share": hypervolume(points, worst) / hypervolume(true, worst),
        "members": sum(tuple(point) in set(map(tuple, true)) for point in points),
    }


def fronts(seeds: int, generations: int, out: Path) -> list[dict[str, Any]]:
    """How much of the true front's hypervolume nsga2 dominates, on every data set."""
    journal = FileJournal(out / "fronts.jsonl")
    known = {(entry["data_set"], entry["seed"], entry["generations"]): entry for entry in journal}
    rows = []
    for data_set in DATA_SETS:
        for seed in range(seeds):
            if (data_set, seed, generations) not in known:
                entry = {"data_set": data_set, "seed": seed, "generations": generations}
                known[data_set, seed, generations] = entry | front_of(data_set, seed, generations)
                journal.append(known[data_set, seed, generations])
        entries = [known[data_set, seed, generations] for seed in range(seeds)]
        mean, low, high = interval(np.array([entry["share"] for entry in entries]))
        rows.append(
            {
                "data_set": data_set,
                "searches": seeds,
                "hypervolume_share": mean,
                "interval": [low, high],
                "true_members": len(true_front(data_set)),
                "members_found": float(np.mean([entry["members"] for entry in entries])),
            }
        )
        print(
            f"{data_set:>15}: nsga2's front has {mean:.4f} [{low:.4f}, {high:.4f}] of the true one's "
            f"hypervolume, and {rows[-1]['members_found']:.1f} of its {rows[-1]['true_members']} members",
            flush=True,
        )
    return rows


def main() -> None:
    """Run both comparisons and write their results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--front-seeds", type=int, default=50)
    parser.add_argument("--generations", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/nas_bench_201"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    results = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "found": compare(searches(options.seeds, options.out)),
        "fronts": fronts(options.front_seeds, options.generations, options.out),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "nas_bench_201.json", results)


if __name__ == "__main__":
    main()
