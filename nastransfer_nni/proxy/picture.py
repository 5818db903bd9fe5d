"""A picture of a proxy set: a grid of its images, one row per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nastransfer_nni.base.files import replacing
from nastransfer_nni.data.decode import UnreadableImage, fit
from nastransfer_nni.data.image_set import ImageSet

_ROWS, _COLUMNS, _SIDE = 12, 12, 64


def draw_grid(images: ImageSet, path: Path) -> None:
    """Write a PNG with up to 12 images of each of up to 12 classes, evenly spaced in the set.

    Args:
        images: the proxy set.
        path: the PNG file.
    """
    from matplotlib.figure import Figure  # slow to import

    shown = np.unique(np.linspace(0, len(images.classes) - 1, min(_ROWS, len(images.classes))).astype(int))
    side = min(_SIDE, max(images.pixels)) if images.pixels else _SIDE
    figure = Figure(figsize=(8, 0.62 * len(shown)), layout="constrained")
    for axes, label in zip(np.atleast_1d(figure.subplots(len(shown))), shown, strict=True):
        rows = np.flatnonzero(images.labels == label)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_COLUMNS, len(rows))).astype(int))]
        strip = np.full((side, _COLUMNS * side, 3), 255, dtype=np.uint8)
        for column, row in enumerate(rows):
            try:
                strip[:, column * side : (column + 1) * side] = np.asarray(fit(images.image(int(row)), side))
            except UnreadableImage:
                continue
        axes.imshow(strip, interpolation="nearest")
        name, count = images.classes[label], images.counts[images.classes[label]]
        axes.set_ylabel(f"{name[:18]}\n{count:,}", rotation=0, ha="right", va="center", fontsize=8)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)
