"""Select the images of a proxy set: `resolve` for a search, `make` for a new manifest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import UnreadableImages, report_bad_images
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import scorers
from nastransfer_nni.proxy.changes import changed
from nastransfer_nni.proxy.manifest import INLINE, ClassRecord, ImageFile, Manifest, SourceRecord
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.scorer_cost import total
from nastransfer_nni.proxy.scorers import ScoreSource
from nastransfer_nni.proxy.spec import ProxySpec, text_of
from search_spaces.errors import UserError
from strategies.budget import Cost

SPLIT = "train"
"""Split that proxy sets are selected from, so that they share no image with the test split of a target."""


def resolve(proxy: ProxySpec, source: Source, seed: int = 0) -> tuple[ImageSet, Manifest]:
    """Open the images of a proxy set.

    Args:
        proxy: steps that select images, or a manifest that lists them.
        source: the image set to select from.
        seed: random seed of the steps' choices; a manifest has its own.

    Returns:
        The images in canonical order, which does not depend on the source's storage format, and the manifest.

    Raises:
        UserError: the source does not have what the proxy asks for, or is not the one of the manifest.
    """
    if proxy.manifest is None:
        return make(load(source, SPLIT), proxy, seed)
    manifest = Manifest.read(proxy.manifest)
    return manifest.apply(load(source, manifest.source.split), proxy.manifest.parent).fetched(), manifest


def make(
    images: ImageSet,
    proxy: ProxySpec,
    seed: int = 0,
    on_bad_image: Literal["stop", "skip"] | None = None,
) -> tuple[ImageSet, Manifest]:
    """Select a proxy set by steps.

    Args:
        images: the source's training split, in any storage format and order.
        proxy: steps that select images.
        seed: random seed of every choice.
        on_bad_image: None: do not decode the selected images. `stop`: decode them, and raise an error if one
            cannot be. `skip`: exclude such images and select again.

    Returns:
        The selected images with their new labels, in canonical order and changed as the steps say, and the
        manifest.

    Raises:
        UserError: the source does not have what a step asks for, fewer than two classes remain, or an image
            cannot be decoded and `on_bad_image` is `stop`.
    """
    images = images.canonical()
    rows, is_excluded, pool = _choose_readable(images, proxy, seed, on_bad_image)
    all_counts = np.bincount(images.labels, minlength=len(images.classes))
    counts = np.bincount(images.labels[rows], minlength=len(images.classes))
    kept = np.flatnonzero(counts)
    text = text_of(proxy.steps)
    if len(kept) < 2:
        raise UserError(f"proxy {text}: a proxy needs at least 2 classes, this one has {len(kept)}")
    selected = images.select(rows).relabel([images.classes[label] for label in kept]).fetched()
    chosen = changed(selected, proxy.changes, seed)
    img_size: int | None = None
    for step in proxy.steps:
        img_size = step.resized_to(img_size)
    is_whole = bool(np.array_equal(counts[kept], all_counts[kept]))
    is_all = is_whole and len(kept) == len(images.classes) and not proxy.changes
    manifest = Manifest(
        source=SourceRecord(
            name=images.name, split=images.split, fingerprint=images.fingerprint, images=len(images)
        ),
        proxy=text,
        kind="+".join(step.kind for step in proxy.steps),
        options=tuple(step.model_dump(mode="json", exclude_none=True) for step in proxy.steps),
        seed=seed,
        img_size=img_size,
        classes={
            images.classes[label]: ClassRecord(label=new_label, images=int(counts[label]))
            for new_label, label in enumerate(kept)
        },
        fingerprint=images.fingerprint if is_all else chosen.fingerprint,
        changes=proxy.changes,
        images=_listing(selected, is_whole=is_whole),
        scores=tuple(pool.origins),
        cost=total(pool.costs.values()) if pool.costs else None,
        left_out=tuple(images.key(row) for row in np.flatnonzero(is_excluded).tolist()),
    )
    return (chosen.resized(img_size) if img_size else chosen), manifest


def _choose_readable(
    images: ImageSet, proxy: ProxySpec, seed: int, on_bad_image: Literal["stop", "skip"] | None
) -> tuple[Rows, npt.NDArray[np.bool_], _SourcePool]:
    """Select images, and select again without those that cannot be decoded, until all can.

    Args:
        images: the whole source, in canonical order.
        proxy: steps that select images.
        seed: random seed of every choice.
        on_bad_image: what to do with images that cannot be decoded, see `make`.

    Returns:
        Rows of the selected images in ascending order, int64 [n]; which images were excluded, bool [N]; and
        the pool, with records of the scores that steps used.
    """
    is_excluded = np.zeros(len(images), dtype=bool)

    def exclude_unreadable(rows: Rows, how: Literal["stop", "skip"] | None = on_bad_image) -> bool:
        """Exclude the images of `rows` that cannot be decoded; returns whether there are any."""
        if how is None or not len(bad := unreadable(images, rows)):
            return False
        report_bad_images(images, [images.describe(row) for row in bad.tolist()], how)
        is_excluded[bad] = True
        return True

    if any(step.scores_source for step in proxy.steps):
        exclude_unreadable(np.arange(len(images)))
    while True:
        readable = np.flatnonzero(~is_excluded)
        pool = _SourcePool.of(images if len(readable) == len(images) else images.select(readable))
        try:
            rows = readable[proxy.choose(pool, seed)]
        except (UnreadableImage, UnreadableImages):  # of a scorer, which has looked at all images
            if on_bad_image == "stop" or not exclude_unreadable(readable, "skip"):
                raise
            continue
        if not exclude_unreadable(rows):
            return rows, is_excluded, pool


def unreadable(images: ImageSet, rows: Rows) -> Rows:
    """The rows whose images cannot be decoded, int64 [n]; decodes all of `rows`."""
    fetched = images.select(rows).fetched()

    def is_bad(row: int) -> bool:
        try:
            fetched.image(row)
        except UnreadableImage:
            return True
        return False

    with ThreadPoolExecutor() as threads:
        return rows[np.fromiter(threads.map(is_bad, range(len(rows))), dtype=bool, count=len(rows))]


def _listing(selected: ImageSet, is_whole: bool) -> str | dict[str, tuple[str, ...]] | ImageFile:
    """The manifest's `images`; a file gets its name when it is written."""
    if is_whole:
        return "all"
    if len(selected) > INLINE:
        return ImageFile(file="")
    keys: dict[str, list[str]] = {name: [] for name in selected.classes}
    for row in range(len(selected)):
        keys[selected.classes[selected.labels[row]]].append(selected.key(row))
    return {name: tuple(listed) for name, listed in keys.items()}


@dataclass(frozen=True)
class _SourcePool(Pool):
    """Images of a real set.

    Attributes:
        images: the whole source, as far as it can be read, in canonical order.
        rows: row of every image in `images`, int64 [N].
        origins: records of the columns that were asked for, for the manifest.
        costs: what every score file took that was asked for, by its path; None: not known.
    """

    images: ImageSet
    rows: Rows
    origins: list[dict[str, str]]
    costs: dict[Path, Cost | None]

    @classmethod
    def of(cls, images: ImageSet) -> _SourcePool:
        """The pool of a whole set."""
        labels, rows = images.labels.astype(np.int32), np.arange(len(images))
        return cls(
            classes=images.classes,
            labels=labels,
            keys=images.keys,
            positions=images.numbers,
            images=images,
            rows=rows,
            origins=[],
            costs={},
        )

    @property
    def source(self) -> Pool:
        return replace(self.of(self.images), costs=self.costs)

    def subset(self, rows: Rows) -> _SourcePool:
        return replace(
            self,
            labels=self.labels[rows],
            keys=self.keys[rows],
            positions=self.positions[rows],
            rows=self.rows[rows],
        )

    def column(self, source: ScoreSource, name: str) -> npt.NDArray[Any]:
        found = scorers.scores(self.images, source, name)
        self.origins.append(found.origin)
        self.costs[found.path] = found.cost
        return found.values[self.rows]
