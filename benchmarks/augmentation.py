"""Batched augmentation against torchvision's transforms, image by image in a DataLoader.

`python -m benchmarks.augmentation` measures images per second on CIFAR-10's images, compares the
distributions of what comes out, prints a table and writes `benchmarks/results/augmentation.json` and `.png`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nastransfer_nni.base.files import write_json
from nastransfer_nni.data import sources
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import InMemoryImages

RESULTS = Path(__file__).parent / "results"
BATCH, REPEATS, CUTOUT, JITTER = 96, 3, 16, (0.4, 0.4, 0.4, 0.2)
MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean of an image": lambda images: images.mean((1, 2, 3)),
    "spread of an image": lambda images: images.std((1, 2, 3)),
    "red against blue": lambda images: (images[:, 0] - images[:, 2]).mean((1, 2)),
    "left against right": lambda images: (images[..., :16] - images[..., 16:]).mean((1, 2, 3)),
    "a corner": lambda images: images[:, 1, 0, 0],
    "the middle": lambda images: images[:, 0, 16, 16],
}


class Cutout:
    """DARTS's cutout of one normalised image: a square around any pixel, clipped at the edges."""

    def __call__(self, image: Tensor) -> Tensor:
        """Set the square to 0 in place."""
        y, x = (int(torch.randint(side, ())) for side in image.shape[1:])
        half = CUTOUT // 2
        image[:, max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
        return image


class OneByOne(Dataset[tuple[Tensor, int]]):
    """Decoded images, transformed one by one."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Tensor]) -> None:
        self._samples = [images[row] for row in range(len(images))]
        self._transform = transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image, label = self._samples[row]
        return self._transform(image), label


def settings(images: ImageSet) -> dict[str, tuple[Augmentation, Callable[[Any], Tensor]]]:
    """The same augmentation in both forms, by name."""
    mean, std = images.source.mean, images.source.std
    begin = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    end = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    jitter = transforms.ColorJitter(*JITTER)

    def batched(**options: Any) -> Augmentation:
        return Augmentation(padding=4, flip=True, mean=mean, std=std, **options)

    return {
        "crop, flip": (batched(), transforms.Compose([*begin, *end])),
        "crop, flip, cutout": (batched(cutout=CUTOUT), transforms.Compose([*begin, *end, Cutout()])),
        "crop, flip, jitter, cutout": (
            batched(jitter=JITTER, cutout=CUTOUT),
            transforms.Compose([*begin, jitter, *end, Cutout()]),
        ),
    }


def images_per_second(loader: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The median over passes, after one to warm up."""
    speeds = []
    for number in range(REPEATS + 1):
        begin, count = time.perf_counter(), 0
        for images, _ in loader:
            count += len(images)
        if number:
            speeds.append(count / (time.perf_counter() - begin))
    return statistics.median(speeds)


def images_per_cpu_second(loader: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Of this process alone: what counts on a machine that is busy with other work."""
    begin, count = time.process_time(), 0
    for images, _ in loader:
        count += len(images)
    return count / (time.process_time() - begin)


def outputs(loader: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """All images of one pass."""
    return torch.cat([images for images, _ in loader])


def on_grid(batch: Tensor, images: ImageSet) -> Tensor:
    """Pixels in 0..255, whole as PIL keeps them, of normalised images."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (images.source.mean, images.source.std))
    return ((batch * std + mean) * 255).round()


def main() -> None:
    """Measure, compare, print and write the results."""
    workers = os.cpu_count() or 1
    images = load(sources.check("cifar10"), "test")
    content = InMemoryImages.of(images)
    rows = []
    print(
        f"{'augmentation':28} {'batched/s':>10} {f'{workers} workers/s':>12} {'ratio':>7} {'per CPU':>10} "
        f"  least p of {len(MEASURES)} tests"
    )
    for name, (augmentation, transform) in settings(images).items():
        ours = BatchLoader(content, BATCH, augmentation, drop_last=True)
        theirs: Any = DataLoader(
            OneByOne(images, transform),
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=True,
        )
        row: dict[str, Any] = {"augmentation": name, "workers": workers, "batch_size": BATCH}
        row["batched_per_second"] = images_per_second(ours)
        row["torchvision_per_second"] = images_per_second(theirs)
        row["ratio"] = row["batched_per_second"] / row["torchvision_per_second"]
        row["batched_per_cpu_second"] = images_per_cpu_second(ours)
        row["torchvision_per_cpu_second"] = images_per_cpu_second(DataLoader(theirs.dataset, BATCH))
        row["cpu_ratio"] = row["batched_per_cpu_second"] / row["torchvision_per_cpu_second"]
        pair = [on_grid(outputs(loader), images) for loader in (ours, theirs)]
        row["p_values"] = {
            what: float(stats.ks_2samp(*(measure(batch).numpy() for batch in pair)).pvalue)
            for what, measure in MEASURES.items()
        }
        print(
            f"{name:28} {row['batched_per_second']:>10,.0f} {row['torchvision_per_second']:>12,.0f} "
            f"{row['ratio']:>6.1f}x {row['cpu_ratio']:>9.1f}x   {min(row['p_values'].values()):.3f}",
            flush=True,
        )
        rows.append(row)
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "augmentation.json", rows)
    draw(rows)


def draw(rows: list[dict[str, Any]]) -> None:
    """Plot the speeds side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    for key, label, offset in (
        ("batched_per_second", "batched", -0.2),
        ("torchvision_per_second", f"torchvision, {rows[0]['workers']} workers", 0.2),
    ):
        bars = axes.barh([place + offset for place in places], [row[key] for row in rows], 0.4, label=label)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set(xlabel="images per second", yticks=list(places))
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_yticklabels([row["augmentation"] for row in rows])
    axes.legend(loc="lower right")
    figure.savefig(RESULTS / "augmentation.png", dpi=120)


if __name__ == "__main__":
    main()
