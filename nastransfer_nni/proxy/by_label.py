"""Choices that need labels only: by class, by share, by frequency. Arrays in, rows out, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from search_spaces.errors import UserError

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The images that a step chooses from.

    Attributes:
        classes: class names; a class without images in the pool is not in it any more.
        labels: index into `classes`, int32 [N].
        keys: uint64 [N].
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    keys: hashing.Keys

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: npt.NDArray[np.int64]) -> Pool:
        """The pool of these rows."""
        return replace(self, labels=self.labels[rows], keys=self.keys[rows])

    @property
    def counts(self) -> Counts:
        """Images of each class, int64 [C]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


def choose_classes(pool: Pool, step: spec.Classes, seed: int) -> hashing.Rows:
    """Rows of the classes that `step` asks for."""
    counts = pool.counts
    candidates = np.flatnonzero(counts)
    if step.names is not None:
        candidates = np.intersect1d(candidates, _numbers(pool, step.names))
    if step.under is not None and step.hierarchy is not None:
        below = descendants(step.under, Path(step.hierarchy))
        candidates = candidates[[pool.classes[n] in below for n in candidates.tolist()]]
        if len(candidates) < 2:
            raise UserError(f"{len(candidates)} of the classes are under {step.under} in {step.hierarchy}")
    wanted = step.num_classes or len(candidates)
    if wanted > len(candidates):
        raise UserError(f"{wanted} classes were asked for, there are {len(candidates)}")
    chance = hashing.uniform(hashing.keys_of([pool.classes[n] for n in candidates.tolist()]), seed, "classes")
    sizes = counts[candidates]
    rank = {
        "random": chance,
        "most": -sizes + chance,
        "least": sizes + chance,
        "frequency": -np.log(chance) / sizes,  # Efraimidis and Spirakis, 2006
    }[step.select]
    kept = np.zeros(len(pool.classes), dtype=bool)
    kept[candidates[np.argsort(rank, kind="stable")[:wanted]]] = True
    if step.per_class is None:
        return np.flatnonzero(kept[pool.labels])
    _refuse_short(pool, np.where(kept, counts, step.per_class), step.per_class)
    return lowest(pool, hashing.seeded(pool.keys, seed, "images"), np.where(kept, step.per_class, 0))


def choose_images(pool: Pool, step: spec.Images, size: int | None, seed: int) -> hashing.Rows:
    """Rows of a stratified choice of `size` images, or of `step.per_class` images of each class."""
    return lowest(pool, hashing.seeded(pool.keys, seed, "images"), quotas(pool, step, size))


def choose_balanced(pool: Pool, step: spec.Balanced, seed: int) -> hashing.Rows:
    """Rows of the same number of images of every class."""
    counts = pool.counts
    per_class = step.per_class or int(counts[counts > 0].min())
    if step.short == "refuse":
        _refuse_short(
            pool, counts, per_class, hint="; short=drop leaves such classes out, short=keep all of them"
        )
    quota = (
        np.minimum(counts, per_class) if step.short == "keep" else np.where(counts >= per_class, per_class, 0)
    )
    if not quota.any():
        raise UserError(f"no class has {per_class} images")
    return lowest(pool, hashing.seeded(pool.keys, seed, "images"), quota)


def choose_share(pool: Pool, step: spec.Share, seed: int) -> hashing.Rows:
    """Rows of the most (head) or least (tail) frequent classes that hold `step.share` of the images."""
    counts = pool.counts
    chance = hashing.uniform(hashing.keys_of(pool.classes), seed, "classes")
    sign = -1 if step.kind == "head" else 1
    ranked = np.argsort(sign * counts + chance, kind="stable")
    before = np.cumsum(counts[ranked]) - counts[ranked]
    kept = np.zeros(len(counts), dtype=bool)
    kept[ranked[before < step.share * len(pool)]] = True
    return np.flatnonzero(kept[pool.labels])


def quotas(pool: Pool, step: spec.Stratified, size: int | None) -> Counts:
    """Images of each class for a stratified choice, int64 [C]."""
    counts = pool.counts
    if step.per_class is not None:
        _refuse_short(pool, counts, step.per_class)
        return np.where(counts > 0, step.per_class, 0)
    assert size is not None, "a size or a number of images per class"
    return proportional(counts, size, step.floor, pool.classes)


def proportional(counts: Counts, size: int, floor: int, classes: tuple[str, ...]) -> Counts:
    """Split `size` over classes by their counts, by largest remainder, with at least `floor` of each.

    Raises:
        UserError: the floors alone need more than `size`, or a class would have no image.
    """
    least = np.minimum(floor, counts)
    if least.sum() > size:
        raise UserError(
            f"{size} images are too few for a floor of {floor} in each of {np.count_nonzero(counts)} "
            f"classes; {least.sum()} are needed"
        )
    fixed = np.zeros(len(counts), dtype=bool)
    while True:  # classes whose share is below the floor get the floor, the others share the rest
        free = counts * ~fixed
        ideal = np.where(fixed, least, free * ((size - least[fixed].sum()) / max(free.sum(), 1)))
        low = ~fixed & (ideal < least)
        if not low.any():
            break
        fixed |= low
    whole = np.floor(ideal + 1e-9).astype(np.int64)
    remainder = np.where(whole < counts, ideal - whole, -1.0)
    by_name = np.argsort(hashing.keys_of(classes), kind="stable")  # ties go by a hash of the class's name
    given = by_name[np.argsort(-np.round(remainder[by_name], 9), kind="stable")]
    whole[given[: size - int(whole.sum())]] += 1
    empty = np.flatnonzero((whole == 0) & (counts > 0))
    if len(empty):
        raise UserError(
            f"{len(empty)} classes would have no image ({classes[empty[0]]!r} among them): ask for more "
            "images or for floor=1"
        )
    return whole


def lowest(pool: Pool, rank: npt.NDArray[np.uint64], quota: Counts) -> hashing.Rows:
    """The rows of the `quota[c]` lowest ranks in every class `c`."""
    ordered = hashing.by_class(pool.labels, rank, len(pool.classes))
    counts = pool.counts
    starts = np.cumsum(counts) - counts
    chosen = np.minimum(quota, counts)
    place = np.arange(chosen.sum()) - np.repeat(np.cumsum(chosen) - chosen, chosen)
    return np.sort(ordered[np.repeat(starts, chosen) + place])


def descendants(synset: str, hierarchy: Path) -> set[str]:
    """A synset and everything below it, from a text file with a line `parent child` for every edge.

    Raises:
        UserError: a line of another form, or a synset that is not in the file.
    """
    children: dict[str, list[str]] = {}
    for number, line in enumerate(hierarchy.read_text().splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 2:
            raise UserError(f"{hierarchy}, line {number}: expected `parent child`, got {line!r}")
        children.setdefault(parts[0], []).append(parts[1])
    known = set(children).union(*children.values())
    if synset not in known:
        raise UserError(f"{synset!r} is not in {hierarchy}")
    below, open_ends = {synset}, [synset]
    while open_ends:
        for child in children.get(open_ends.pop(), ()):
            if child not in below:
                below.add(child)
                open_ends.append(child)
    return below


def _numbers(pool: Pool, names: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {name: place for place, name in enumerate(pool.classes)}
    missing = [name for name in names if name not in number]
    if missing:
        known = ", ".join(list(pool.classes)[:10]) + (", ..." if len(pool.classes) > 10 else "")
        raise UserError(f"no class {missing[0]!r}; there are {known}")
    return np.array([number[name] for name in names], dtype=np.int64)


def _refuse_short(pool: Pool, counts: Counts, wanted: int, hint: str = "") -> None:
    short = np.flatnonzero((counts > 0) & (counts < wanted))
    if len(short):
        name, count = pool.classes[short[0]], counts[short[0]]
        raise UserError(f"{len(short)} classes have fewer than {wanted} images ({name!r} has {count}){hint}")
