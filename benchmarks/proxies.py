"""Choosing proxy sets at the size of ImageNet-22K and ImageNet-1K: time and memory.

`python -m benchmarks.proxies` runs every kind in a process of its own, prints a table and writes
`benchmarks/results/proxies.json` and `.png`. Labels are made up with the size of ImageNet-22K's Fall-2011
release (14,197,122 images, 21,841 classes, a long tail), features with the size of ImageNet-1K (1,281,000 x
384).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nastransfer_nni.base.files import write_json
from nastransfer_nni.data import hashing, splits
from nastransfer_nni.proxy import by_feature, by_label, spec
from nastransfer_nni.proxy.by_label import Pool

RESULTS = Path(__file__).parent / "results"
IMAGES, CLASSES, LARGEST = 14_197_122, 21_841, 3_047
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
    "canonical order",
    "weights and alphas halves",
)
PER_CLASS, DIMENSIONS = 1_281, 384
FEATURE_KINDS = ("k-center:0.1", "herding:0.1", "k-center:100,across=true", "herding:100,across=true")
SIZES = (62, 125, 250, 500, 1000)  # classes of 1,281 images


def long_tail() -> Pool:
    """Labels in random order whose class sizes fall from 3,047 to 1, and made-up keys."""
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
    """Make one choice; returns the number of images chosen."""
    if kind.startswith("weights"):
        return sum(map(len, splits.split(pool.labels)))
    if kind.startswith("canonical"):
        return len(np.lexsort((pool.keys, pool.labels)))  # once for a set, before any choice
    (step,) = spec.parse_steps(kind)
    if isinstance(step, spec.Classes):
        return len(by_label.choose_classes(pool, step, seed=0))
    if isinstance(step, spec.Balanced):
        return len(by_label.choose_balanced(pool, step, seed=0))
    if isinstance(step, spec.Share):
        return len(by_label.choose_share(pool, step, seed=0))
    assert isinstance(step, spec.Images), "the kinds above"
    if step.like is not None:
        size = choose_by_label(step.like, pool)
    else:
        assert step.amount is not None, "a size of its own"
        size = round(step.amount * len(pool))
    return len(by_label.choose_images(pool, step, max(size, CLASSES), seed=0))


def feature_pool(classes: int) -> tuple[Pool, np.ndarray[Any, np.dtype[np.float32]]]:
    """1,281 points around a centre of each class, float32 [N, 384]."""
    random = np.random.default_rng(0)
    label = np.repeat(np.arange(classes, dtype=np.int32), PER_CLASS)
    points = random.standard_normal((len(label), DIMENSIONS), dtype=np.float32)
    centres = random.standard_normal((classes, DIMENSIONS), dtype=np.float32)
    for number in range(classes):
        points[number * PER_CLASS : (number + 1) * PER_CLASS] += centres[number]
    names = tuple(map(str, range(classes)))
    return Pool(names, label, hashing.mix(np.arange(len(label), dtype=np.uint64))), points


def measure(kind: str, classes: int) -> dict[str, Any]:
    """Time one choice in this process."""
    if classes == 0:
        pool = long_tail()
        begin, cpu = time.perf_counter(), time.process_time()
        chosen = choose_by_label(kind, pool)
    else:
        pool, points = feature_pool(classes)
        (step,) = spec.parse_steps(kind)
        assert isinstance(step, spec.Spread) and step.amount is not None, "the kinds above"
        size = round(step.amount * len(pool)) if step.amount <= 1 else int(step.amount)
        begin, cpu = time.perf_counter(), time.process_time()
        chosen = len(by_feature.choose_spread(pool, step, size, points, seed=0))
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "kind": kind,
        "images": len(pool),
        "chosen": chosen,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # on a busy machine the one that counts
        "peak_gigabytes": gigabytes,
    }


def in_own_process(kind: str, classes: int = 0) -> dict[str, Any]:
    """`measure` in a new process, so that the peak of its memory is its own."""
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
    """Plot how the time of the choices by features grows with the number of images."""
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
