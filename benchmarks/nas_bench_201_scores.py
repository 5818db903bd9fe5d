"""How well scores of untrained networks order the cells of NAS-Bench-201, beside published figures.

    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201_scores               # an hour on one core
    NASTRANSFER_DATA=data python -m benchmarks.nas_bench_201_scores --cells 100 --gradient-cells 50

A uniform sample of the 15,625 cells is scored at the size of the table (16 channels, 5 cells a stage) on
one batch of CIFAR-10, the first that a search with the strategy `score` sees; scores with gradients take the
first cells of the sample. Shown is Kendall's tau with the test accuracy after 12 and after 200 epochs, with a
95% interval by a bootstrap over cells, and what the strategy `score` finds among 300 cells of the sample. The
tables are those of benchmarks.nas_bench_201. Scores are kept in --out, so that the same command resumes.
Writes benchmarks/results/nas_bench_201_scores.json and .csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

import strategies
from benchmarks.nas_bench_201 import RESULTS, interval, table
from nastransfer_nni.base.files import write_json
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.scoring import ScoreEvaluator
from nastransfer_nni.tabular.lookup import found
from nastransfer_nni.tracking.journal import FileJournal
from search_spaces.nas_bench_201 import NasBench201Genotype
from search_spaces.nas_bench_201.network import NasBench201Network
from search_spaces.nni_api import (
    Categorical,
    ExecutableModelSpace,
    ModelSpace,
    SequentialExecutionEngine,
    SimplifiedModelSpace,
    nni,
)
from strategies.data_loaders import SilentRecorder
from strategies.interfaces import SearchContext
from strategies.multitrial import CandidateEvaluator
from strategies.scores import SCORES

FORWARD = ("nwot", "synflow", "params", "mult_adds")
GRADIENTS = ("jacov", "snip", "grad_norm", "zico", "swap")
PUBLISHED = {
    "nwot": {"tau": 0.57, "tau by AZ-NAS": 0.557},
    "synflow": {"spearman": 0.74, "tau by AZ-NAS": 0.571},
    "params": {"tau": 0.56, "spearman": 0.75, "tau by AZ-NAS": 0.578},
    "mult_adds": {"tau": 0.56, "spearman": 0.75, "tau by AZ-NAS": 0.578},
    "jacov": {"spearman": 0.73},
    "snip": {"spearman": 0.58, "tau by AZ-NAS": 0.454},
    "grad_norm": {"spearman": 0.58, "tau by AZ-NAS": 0.357},
    "zico": {"tau by AZ-NAS": 0.589},
}
"""Figures for CIFAR-10 and all cells, after 200 epochs. EZNAS (Akhauri et al., NeurIPS 2022) lists those of
Mellor et al. (ICML 2021: nwot) and Abdelfattah et al. (ICLR 2021: synflow, jacov, snip, grad_norm) beside the
sizes; AZ-NAS (Lee and Ham, CVPR 2024, table 1) has run the authors' codes anew."""

SEARCHES = ("nwot", "synflow", "params", "mult_adds", "nwot+synflow")
EVALUATIONS, RESAMPLES = 300, 1000

Batch = tuple[torch.Tensor, torch.Tensor]


def first_batch(batch_size: int, seed: int) -> list[Batch]:
    """The first batch of CIFAR-10 that a search with the strategy `score` sees."""
    config = SearchConfig(
        source="cifar10", strategy="score:batches=1", batch_size=batch_size, seed=seed, device="cpu"
    )
    return ScoreEvaluator(config).batches


def score(cell: NasBench201Genotype, names: Iterable[str], batches: Sequence[Batch]) -> dict[str, float]:
    """Scores of a cell's untrained network, by name."""
    torch.manual_seed(0)
    network = NasBench201Network(cell, width=16, layers=17, num_classes=10)
    return {name: SCORES[name](network, batches) for name in names}


def scored(options: argparse.Namespace) -> pd.DataFrame:
    """The scores of the sample, a row per cell; gradient scores are missing beyond the first cells."""
    cells = list(NasBench201Genotype.all())
    order = np.random.default_rng(options.seed).permutation(len(cells))[: options.cells]
    journal = FileJournal(options.out / "scores.jsonl")
    known: dict[str, dict[str, float]] = {}
    for entry in journal:
        known.setdefault(entry["cell"], {}).update(entry["scores"])
    batches = first_batch(options.batch_size, options.seed)
    for names, count in ((FORWARD, options.cells), (GRADIENTS, options.gradient_cells)):
        for place in order[:count]:
            cell = cells[place]
            if missing := [name for name in names if name not in known.get(str(cell), {})]:
                scores = score(cell, missing, batches)
                journal.append({"cell": str(cell), "scores": scores})
                known.setdefault(str(cell), {}).update(scores)
        print(f"scored {min(count, options.cells)} cells by {', '.join(names)}", flush=True)
    frame = pd.DataFrame([{"cell": str(cells[place]), **known[str(cells[place])]} for place in order])
    frame.loc[options.gradient_cells :, list(GRADIENTS)] = np.nan  # those of an earlier command
    return frame


class Sample(ModelSpace):  # type: ignore[misc]
    """The scored cells as an NNI space with one choice."""

    def __init__(self, cells: Sequence[str]) -> None:
        super().__init__()
        self.add_mutable(Categorical(list(cells), label="cell"))


class KnownScores(CandidateEvaluator):
    """Reports the scores of a cell of the sample; `by` names the first that a search asks for."""

    training_images = 0

    def __init__(self, scores: dict[str, dict[str, float]], by: str, seed: int) -> None:
        self.by, self.scores = by, scores
        self.context, self.recorder = SearchContext(seed=seed), SilentRecorder()

    def architecture(self, sample: dict[str, Any]) -> str:
        """The text of the cell."""
        return str(sample["cell"])

    def _execute(self, model: ExecutableModelSpace) -> None:
        """Report without building a network."""
        scores = self.scores[self.architecture(model.sample)]
        nni.report_final_result({"default": scores[self.by], "scores": scores})


def correlation(score: pd.Series[float], accuracy: pd.Series[float]) -> dict[str, Any]:
    """Kendall's tau with a 95% percentile interval over cells, and Spearman's rho, where both are known."""
    pairs = pd.DataFrame({"score": score.clip(lower=-1e300), "accuracy": accuracy}).dropna().to_numpy(float)
    rng = np.random.default_rng(0)
    draws = [pairs[rng.integers(len(pairs), size=len(pairs))] for _ in range(RESAMPLES)]
    low, high = np.quantile([stats.kendalltau(*draw.T).statistic for draw in draws], (0.025, 0.975))
    return {
        "cells": len(pairs),
        "tau": float(stats.kendalltau(*pairs.T).statistic),
        "interval": [float(low), float(high)],
        "spearman": float(stats.spearmanr(*pairs.T).statistic),
    }


def correlations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """How every score agrees with the test accuracy on CIFAR-10; sizes over all cells of the table too."""
    samples = {f"sample, {name}": frame.set_index("cell")[name] for name in (*FORWARD, *GRADIENTS)}
    everything = {f"all cells, {name}": table()[name] for name in ("params", "mult_adds")}
    rows = []
    for label, scores in (samples | everything).items():
        name = label.rsplit(", ", maxsplit=1)[1]
        row: dict[str, Any] = {"score": label, "published": PUBLISHED.get(name, {})}
        for epochs, column in ((12, "cifar10_test"), (200, "cifar10_test200")):
            row[f"{epochs} epochs"] = correlation(scores, table()[column].reindex(scores.index))
        rows.append(row)
        after = row["200 epochs"]
        low, high = after["interval"]
        print(
            f"{label:>20}: tau {after['tau']:+.3f} [{low:+.3f}, {high:+.3f}], rho {after['spearman']:+.3f}; "
            f"tau with 12 epochs {row['12 epochs']['tau']:+.3f}; {after['cells']} cells"
        )
    return rows


def searches(frame: pd.DataFrame, seeds: int) -> list[dict[str, Any]]:
    """Accuracies on CIFAR-10 of the cells that the strategy `score` finds in the sample."""
    scores = {row["cell"]: {name: row[name] for name in FORWARD} for row in frame.to_dict("records")}
    space, rows = Sample(list(scores)), []
    for by in SEARCHES:
        chosen = []
        for seed in range(seeds):
            strategy = strategies.parse(f"score:by={by},candidates={EVALUATIONS}").create()
            model = SimplifiedModelSpace.from_model(space, KnownScores(scores, by.partition("+")[0], seed))
            strategy(model, SequentialExecutionEngine())
            chosen.append(found(strategy))
        row: dict[str, Any] = {"by": by, "searches": seeds, "candidates": EVALUATIONS}
        for column in ("cifar10_val", "cifar10_test", "cifar10_test200"):
            values = table()[column]
            mean, low, high = interval(values.loc[chosen].dropna().to_numpy(float))
            sample = values.loc[list(scores)].dropna()
            row[column] = {
                "accuracy": mean,
                "interval": [low, high],
                "mean_of_sample": float(sample.mean()),
                "best_of_sample": float(sample.max()),
            }
            print(
                f"{by:>14}, {column}: {mean:.3f} [{low:.3f}, {high:.3f}]; sample: mean {sample.mean():.3f}, "
                f"best {sample.max():.3f}"
            )
        rows.append(row)
    return rows


def main() -> None:
    """Score the sample, compare, search, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=1000, help="size of the sample")
    parser.add_argument("--gradient-cells", type=int, default=80, help="of these, by scores with gradients")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=200, help="searches by each score")
    parser.add_argument("--out", type=Path, default=Path("runs/nas_bench_201_scores"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    frame = scored(options)
    results = {
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "correlations": correlations(frame),
        "searches": searches(frame, options.seeds),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "nas_bench_201_scores.json", results)
    frame.to_csv(RESULTS / "nas_bench_201_scores.csv", index=False, float_format="%.8g")


if __name__ == "__main__":
    main()
