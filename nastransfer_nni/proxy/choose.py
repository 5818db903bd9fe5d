"""From a proxy's name to its images: `resolve` for a search, `make` for a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import report_bad_images
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import by_label, spec
from nastransfer_nni.proxy.by_label import Pool
from nastransfer_nni.proxy.manifest import INLINE, ClassRecord, ImageFile, Manifest, SourceRecord
from search_spaces.errors import UserError

SPLIT = "train"  # a proxy never touches the images that a target is judged by


def resolve(proxy: spec.ProxySpec, source: Source | str, seed: int = 0) -> tuple[ImageSet, Manifest]:
    """The images that a search works on, in an order that does not depend on how the set is stored.

    Args:
        proxy: a manifest, or a short form such as `classes:100` or `entropy-p1:0.1`.
        source: the set to choose from, as `load` takes it.
        seed: of the choice; a manifest has its own.

    Raises:
        UserError: what cannot be chosen, or a manifest that does not fit the source.
    """
    if proxy.manifest is None:
        return make(load(source, SPLIT), proxy.steps, seed)
    manifest = Manifest.read(proxy.manifest)
    return manifest.apply(load(source, manifest.source.split), proxy.manifest.parent).fetched(), manifest


def make(
    images: ImageSet, steps: Sequence[spec.Step], seed: int = 0, on_bad_image: str | None = None
) -> tuple[ImageSet, Manifest]:
    """Choose a proxy set.

    Args:
        images: the source's training split, in any form and order.
        steps: as `spec.parse` gives them.
        seed: of every random choice.
        on_bad_image: None: chosen images are not tried. `stop`: one that cannot be decoded is an error.
            `skip`: the choice is made again without it.

    Returns:
        The chosen images with their new labels, in canonical order, and the manifest.
    """
    images = images.canonical()
    choice = _Choice(images, seed)
    if on_bad_image is not None and any(isinstance(step, spec.Scored) and not step.scores for step in steps):
        choice.leave_out(unreadable(images, np.arange(len(images))), on_bad_image)  # scorers see every image
    rows, pixels = choice.run(steps)
    while on_bad_image is not None and len(bad := unreadable(images, rows)):
        choice.leave_out(bad, on_bad_image)
        rows, pixels = choice.run(steps)
    counts = np.bincount(images.labels[rows], minlength=len(images.classes))
    kept = np.flatnonzero(counts)
    if len(kept) < 2:
        raise UserError(
            f"proxy {spec.text_of(tuple(steps))}: a proxy needs at least 2 classes, this one has {len(kept)}"
        )
    chosen = images.select(rows).relabel([images.classes[label] for label in kept]).fetched()
    manifest = Manifest(
        source=SourceRecord(
            name=images.name, split=images.split, fingerprint=images.fingerprint, images=len(images)
        ),
        proxy=spec.text_of(tuple(steps)),
        kind="+".join(step.kind for step in steps),
        options=tuple(step.model_dump(mode="json", exclude={"kind"}, exclude_none=True) for step in steps),
        seed=seed,
        pixels=pixels,
        classes={
            images.classes[label]: ClassRecord(label=place, images=int(counts[label]))
            for place, label in enumerate(kept)
        },
        fingerprint=chosen.fingerprint,
        images=_listing(chosen, whole=np.array_equal(counts[kept], choice.pool.counts[kept])),
        scores=tuple(choice.scores),
        left_out=tuple(images.key(row) for row in choice.left_out.tolist()),
    )
    return (chosen.resized(pixels) if pixels else chosen), manifest


def unreadable(images: ImageSet, rows: Rows) -> Rows:
    """Which of these rows cannot be decoded; every one is tried."""
    from concurrent.futures import ThreadPoolExecutor

    tried = images.select(rows).fetched()

    def is_bad(row: int) -> bool:
        try:
            tried.image(row)
        except UnreadableImage:
            return True
        return False

    with ThreadPoolExecutor() as pool:
        return rows[np.fromiter(pool.map(is_bad, range(len(tried))), dtype=bool, count=len(tried))]


def _listing(chosen: ImageSet, whole: bool) -> str | dict[str, tuple[str, ...]] | ImageFile:
    """The manifest's `images`; a file has no name before it is written."""
    if whole:
        return "all"
    if len(chosen) > INLINE:
        return ImageFile(file="")
    keys: dict[str, list[str]] = {name: [] for name in chosen.classes}
    for row in range(len(chosen)):
        keys[chosen.classes[chosen.labels[row]]].append(chosen.key(row))
    return {name: tuple(listed) for name, listed in keys.items()}


@dataclass
class _Choice:
    """Runs steps on a source; keeps what they were told by scorers."""

    images: ImageSet
    seed: int
    left_out: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scores: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = Pool(self.images.classes, self.images.labels.astype(np.int32), self.images.keys)

    def leave_out(self, bad: Rows, on_bad_image: str) -> None:
        """Name rows that cannot be read, and choose without them from now on.

        Raises:
            UserError: there are any, and `on_bad_image` is `stop`.
        """
        if len(bad):
            report_bad_images(self.images, [self.images.describe(row) for row in bad.tolist()], on_bad_image)
            self.left_out = np.union1d(self.left_out, bad)

    def run(self, steps: Sequence[spec.Step]) -> tuple[Rows, int | None]:
        """The chosen rows, ascending, and the pixels that images are brought to."""
        self.scores.clear()
        rows = self._good
        pixels = None
        for step in steps:
            if isinstance(step, spec.Resolution):
                pixels = step.pixels
            elif not isinstance(step, spec.All):
                rows = rows[self._choose(step, rows)]
        return rows, pixels

    @property
    def _good(self) -> Rows:
        return np.setdiff1d(np.arange(len(self.pool)), self.left_out, assume_unique=True)

    def _choose(self, step: spec.Step, rows: Rows) -> Rows:
        pool = self.pool.select(rows)
        try:
            if isinstance(step, spec.Classes):
                return by_label.choose_classes(pool, step, self.seed)
            if isinstance(step, spec.Balanced):
                return by_label.choose_balanced(pool, step, self.seed)
            if isinstance(step, spec.Share):
                return by_label.choose_share(pool, step, self.seed)
            assert isinstance(step, spec.Sized), "every other kind has a size"
            size = self._size(step, len(pool))
            if isinstance(step, spec.Images):
                return by_label.choose_images(pool, step, size, self.seed)
            assert isinstance(step, spec.Scored), "every other kind needs scores"
            return self._by_score(step, pool, rows, size)
        except UserError as error:
            raise UserError(f"proxy {step.text}: {error}") from None

    def _by_score(self, step: spec.Scored, pool: Pool, rows: Rows, size: int | None) -> Rows:
        from nastransfer_nni.proxy import by_feature, by_score, scorers

        def values(column: str) -> npt.NDArray[np.float64]:
            good = self._good
            found = scorers.scores(self.images.select(good), step, column)
            self.scores.append(found.origin)
            return found.values[np.searchsorted(good, rows)]

        if isinstance(step, spec.Ranked):
            return by_score.choose_ranked(pool, step, size, values(step.by))
        if isinstance(step, spec.Spread):
            return by_feature.choose_spread(pool, step, size, values("features"), self.seed)
        assert size is not None, "a step without images per class has a size"
        if isinstance(step, spec.Entropy):
            return by_score.choose_by_entropy(pool, step, size, values("entropy"), self.seed)
        assert isinstance(step, spec.Cluster), "every kind is known here"
        return by_feature.choose_clusters(pool, step, size, values("features"), self.seed)

    def _size(self, step: spec.Sized, there: int) -> int | None:
        """How many images a step is to choose from `there`; None where it counts per class."""
        if step.like is not None:
            if spec.is_manifest(step.like):
                size = len(Manifest.read(step.like))
            else:
                size = len(_Choice(self.images, self.seed, self.left_out).run(spec.parse_steps(step.like))[0])
        elif step.amount is None:
            return None
        else:
            size = round(step.amount * there) if step.amount <= 1 else int(step.amount)
        if not 1 <= size <= there:
            raise UserError(f"it asks for {size} of {there} images")
        return size
