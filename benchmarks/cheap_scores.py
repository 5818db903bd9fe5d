"""How far do cheap scores agree with 600 epochs? On 107 random cells of the space with published accuracies.

    NASTRANSFER_DATA=data python -m benchmarks.cheap_scores                     # a quarter of an hour
    NASTRANSFER_DATA=data python -m benchmarks.cheap_scores --width 16 --layers 8 --epochs 50

All cells are scored under shared weights that were trained on random cells, and some are trained alone at a
small setting; both on CIFAR-10. Kendall's tau, with a 95% interval by a bootstrap over cells, says how far
they agree with each other and with the published top-1 (Yang et al., ICLR 2020; 600 epochs, width 36, 20
layers), of which the accuracies after fewer epochs are the ceiling. It needs
`$NASTRANSFER_DATA/darts_space_cifar10/architectures.csv` with the columns genotype, final_top1 and
top1_epoch_<n>. Scores are kept in --out, so that the same command resumes. Writes
benchmarks/results/cheap_scores.json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import stats

from benchmarks.nas_bench_201 import Silence
from nastransfer_nni.base import torch_io
from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.base.files import write_json
from nastransfer_nni.nni_engine.experiments import InProcessExperiment
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import make_batches
from nastransfer_nni.tracking.journal import FileJournal
from search_spaces import DartsSpace, Genotype
from strategies.builtin import RandomWsOptions
from strategies.interfaces import SearchContext
from strategies.random_ws import RandomWs
from strategies.supernet import Schedule, SupernetEvaluator

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parent / "results"
TABLE = Path("darts_space_cifar10") / "architectures.csv"
RESAMPLES = 2000


class GivenCells(RandomWs):
    """Trains shared weights on random cells, then scores given ones on the whole validation half."""

    def __init__(self, cells: list[Genotype]) -> None:
        super().__init__(RandomWsOptions())
        self.cells = cells

    def select_final(self) -> None:
        """Score every given cell."""
        self.keep_best("published", self.cells)


class Lines(Silence):
    """A recorder that prints one line per epoch."""

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """The accuracy of a split."""
        print(f"shared weights, epoch {epoch + 1}: {split} top1 {values['top1']:.2f}", flush=True)


def published() -> pd.DataFrame:
    """The cells with their published accuracies."""
    path = Path(os.environ.get("NASTRANSFER_DATA", "")) / TABLE
    if not path.exists():
        raise SystemExit(f"{TABLE} is not under NASTRANSFER_DATA")
    frame = pd.read_csv(path)
    frame["genotype"] = [Genotype.from_dict(json.loads(text)) for text in frame["genotype"]]
    return frame


def under_shared_weights(config: SearchConfig, cells: list[Genotype], out: Path) -> list[float]:
    """Top-1 of every cell under one set of shared weights."""
    images, _ = resolve(config.proxy, config.source, config.proxy_seed)
    torch.manual_seed(config.seed)
    batches = make_batches(images, config, DistributedContext())
    state, journal = out / "shared.pt", FileJournal(out / "shared.jsonl")
    evaluator = SupernetEvaluator(
        batches.weights,
        batches.alphas,
        batches.validation,
        Schedule(epochs=config.epochs, lr=config.lr),
        Lines(),
        resume=torch_io.load(state),
        save=lambda value: torch_io.save(state, value),
        context=SearchContext(seed=config.seed, journal=journal),
    )
    space = DartsSpace(config.width, config.layers, len(images.classes))
    InProcessExperiment(space, evaluator, GivenCells(cells), out / "nni").search()
    scores = {entry["candidate"]: entry["top1"] for entry in journal}
    return [scores[index] for index in range(len(cells))]


def alone(config: SearchConfig, cells: list[Genotype], rows: Iterable[int], out: Path) -> dict[int, float]:
    """Top-1 of some of the cells, each trained from scratch."""
    journal = FileJournal(out / "alone.jsonl")
    scores = {entry["candidate"]: entry["top1"] for entry in journal}
    evaluator = ScratchEvaluator(config)
    for row in rows:
        if row not in scores:
            scores[row] = evaluator.train(cells[row]).final.top1
            journal.append({"candidate": row, "top1": scores[row]})
            print(f"alone, cell {row}: top1 {scores[row]:.2f}", flush=True)
    return scores


def agreement(one: npt.ArrayLike, other: npt.ArrayLike) -> dict[str, Any]:
    """Kendall's tau of two scores and its 95% percentile interval over cells."""
    pairs = np.column_stack([np.asarray(one, dtype=float), np.asarray(other, dtype=float)])
    rng = np.random.default_rng(0)
    draws = [pairs[rng.integers(len(pairs), size=len(pairs))] for _ in range(RESAMPLES)]
    taus = [stats.kendalltau(*draw.T).statistic for draw in draws]
    low, high = np.nanquantile(taus, (0.025, 0.975))
    tau = float(stats.kendalltau(*pairs.T).statistic)
    return {"tau": tau, "interval": [float(low), float(high)], "cells": len(pairs)}


def plot(frame: pd.DataFrame, taus: dict[str, dict[str, Any]], path: Path) -> None:
    """Both cheap scores against the published accuracy, and every tau with its interval."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, score in zip(axes, ("shared weights", "alone"), strict=False):
        known = frame.dropna(subset=[score])
        axis.scatter(known[score], known["final_top1"], s=14)
        axis.set(xlabel=f"top-1, {score} (%)", ylabel="published top-1 after 600 epochs (%)")
    names = list(taus)[::-1]
    middle = np.array([taus[name]["tau"] for name in names])
    ends = np.array([taus[name]["interval"] for name in names]).T
    axes[2].errorbar(middle, range(len(names)), xerr=abs(ends - middle), fmt="o", capsize=3)
    axes[2].axvline(0, color="grey", linewidth=0.8)
    axes[2].set(yticks=range(len(names)), xlabel="Kendall's tau, 95% interval")
    axes[2].set_yticklabels(names)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Score, compare, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--proxy", default="images:0.1", help="images of CIFAR-10 that both scores use")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20, help="of the shared weights")
    parser.add_argument("--alone-epochs", type=int, default=4)
    parser.add_argument("--alone", type=int, default=24, help="cells that are trained alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/cheap_scores"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    frame = published()
    cells = list(frame["genotype"])
    config = SearchConfig(
        source="cifar10",
        proxy=options.proxy,
        strategy="random_ws",
        width=options.width,
        layers=options.layers,
        batch_size=options.batch_size,
        epochs=options.epochs,
        seed=options.seed,
        device="cpu",
    )
    frame["shared weights"] = under_shared_weights(config, cells, options.out)
    rows = np.random.default_rng(options.seed).permutation(len(cells))[: options.alone]
    trained = alone(
        config.model_copy(update={"epochs": options.alone_epochs}), cells, map(int, rows), options.out
    )
    frame["alone"] = [trained.get(row, np.nan) for row in range(len(cells))]
    taus = {}
    both = frame.dropna(subset=["alone"])
    taus["shared weights, published"] = agreement(frame["shared weights"], frame["final_top1"])
    taus["alone, published"] = agreement(both["alone"], both["final_top1"])
    taus["shared weights, alone"] = agreement(both["shared weights"], both["alone"])
    for column in frame.columns:
        if column.startswith("top1_epoch_"):
            name = f"published epoch {column.rsplit('_', 1)[1]}, published"
            taus[name] = agreement(frame[column], frame["final_top1"])
    for name, value in taus.items():
        low, high = value["interval"]
        print(f"{name:>32}: tau {value['tau']:+.2f} [{low:+.2f}, {high:+.2f}] over {value['cells']} cells")
    RESULTS.mkdir(exist_ok=True)
    shown = {name: value for name, value in vars(options).items() if name != "out"}
    write_json(RESULTS / "cheap_scores.json", {"options": shown, "taus": taus})
    plot(frame, taus, RESULTS / "cheap_scores.png")


if __name__ == "__main__":
    main()
