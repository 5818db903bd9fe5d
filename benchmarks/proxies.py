"""Time and memory of selecting proxy sets at the size of ImageNet-22K and ImageNet-1K.

`python -m benchmarks.proxies` runs every kind in a process of its own, prints a table and writes
`benchmarks/results/proxies.json` and `.png`. Labels are synthetic, of the size of ImageNet-22K's Fall-2011
release (14,197,122 images, 21,841 classes, a long tail); features of the size of ImageNet-1K (1,281,000 x
384).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import write_json
from nastransfer_nni.data import hashing, splits
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.scorers import ScoreSource

RESULTS = Path(__file__).parent / "results"
IMAGES, CLASSES, LARGEST = 14_197_122, 21_841, 3_047
CANONICAL, SPLITS = "canonical order", "weight split and alpha split"
LABEL_KINDS = (
    "classes:1000",
    "classes:1000,select=most",
    "classes:1000,select=least",
    "classes:1000,select=frequency",
    "classes:1000,select=most,per_class=500",
    "images:0.1",
    "images:0.01",
    "images:like=classes:1000",
    "balanced:100,short=drop",
    "balanced:100,short=keep",
    "head:0.5",
    "tail:0.5",
    CANONICAL,
    SPLITS,
)
PER_CLASS, DIMENSIONS = 1_281, 384
FEATURE_KINDS = ("k-center:0.1", "herding:0.1", "k-center:100,across=true", "herding:100,across=true")
SIZES = (62, 125, 250, 500, 1000)  # classes of 1,281 images


def long_tail() -> Pool:
    """Labels in random order whose class sizes fall from 3,047 to 1, and synthetic keys."""
    rank = np.arange(CLASSES) / CLASSES
    power = LARGEST * CLASSES / IMAGES - 1  # so that the sizes add up
    counts = np.maximum((LARGEST * (1 - rank) ** power).astype(np.int64), 1)
    counts[: IMAGES - counts.sum()] += 1
    counts[0] += IMAGES - counts.sum()
    label = np.repeat(np.arange(CLASSES, dtype=np.int32), counts)
    np.random.default_rng(0).shuffle(label)
    names = tuple(f"n{number:08d}" for number in range(CLASSES))
    return Pool(names, label, hashing.mix(np.arange(IMAGES, dtype=np.uint64)))


def choose_by_label(kind: str, pool: Pool) -> int:
    """Select once; returns the number of images selected."""
    if kind == SPLITS:
        return sum(map(len, splits.split(pool.labels)))
    if kind == CANONICAL:
        return len(np.lexsort((pool.keys, pool.labels)))  # once per set, before any selection
    return len(spec.parse(kind).choose(pool, seed=0))


@dataclass(frozen=True)
class PoolWithFeatures(Pool):
    """A pool with the features of every image, float32 [N, D]."""

    features: npt.NDArray[np.float32]

    def column(self, source: ScoreSource, name: str) -> npt.NDArray[np.float32]:
        """The features."""
        return self.features


def feature_pool(classes: int) -> PoolWithFeatures:
    """1,281 points around a center of each class, with features float32 [N, 384]."""
    random = np.random.default_rng(0)
    label = np.repeat(np.arange(classes, dtype=np.int32), PER_CLASS)
    points = random.standard_normal((len(label), DIMENSIONS), dtype=np.float32)
    centers = random.standard_normal((classes, DIMENSIONS), dtype=np.float32)
    for number in range(classes):
        points[number * PER_CLASS : (number + 1) * PER_CLASS] += centers[number]
    names = tuple(map(str, range(classes)))
    keys = hashing.mix(np.arange(len(label), dtype=np.uint64))
    return PoolWithFeatures(names, label, keys, features=points)


def measure(kind: str, classes: int) -> dict[str, Any]:
    """Time one selection in this process.

    Args:
        kind: short form of the proxy set, or one of the other operations of `LABEL_KINDS`.
        classes: classes of the features; 0: long-tailed labels without features.
    """
    pool = feature_pool(classes) if classes else long_tail()
    begin, cpu = time.perf_counter(), time.process_time()
    chosen = choose_by_label(kind, pool)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "kind": kind,
        "images": len(pool),
        "chosen": chosen,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # on a busy machine, more reliable than the wall-clock time
        "peak_gigabytes": gigabytes,
    }


def in_own_process(kind: str, classes: int = 0) -> dict[str, Any]:
    """`measure` in a new process, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.proxies", kind, str(classes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    print(
        f"{kind:32} {row['images']:>12,} {row['chosen']:>12,} {row['seconds']:>9.2f} s "
        f"{row['cpu_seconds']:>9.2f} s {row['peak_gigabytes']:>7.2f} GB",
        flush=True,
    )
    return row


def draw(rows: list[dict[str, Any]]) -> None:
    """Plot how the time of k-center and herding grows with the number of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for kind in FEATURE_KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        axes.plot([row["images"] for row in mine], [row["cpu_seconds"] for row in mine], "o-", label=kind)
    axes.set(xscale="log", yscale="log", xlabel=f"images x {DIMENSIONS} features", ylabel="CPU seconds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(RESULTS / "proxies.png", dpi=120)


def main() -> None:
    """Measure every kind, print and write the results."""
    print(f"{'kind':32} {'images':>12} {'chosen':>12} {'time':>11} {'CPU':>11} {'peak':>10}")
    rows = [in_own_process(kind) for kind in LABEL_KINDS]
    rows += [in_own_process(kind, classes) for kind in FEATURE_KINDS for classes in SIZES]
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "proxies.json", rows)
    draw(rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
