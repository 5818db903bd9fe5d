"""`classes`: some of the classes, with all their images or the same number of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from nastransfer_nni.base.paths import located
from nastransfer_nni.base.reading import read_text
from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import Size, Step, register
from search_spaces.errors import UserError, unknown


@register("classes")
class Classes(Step):
    """Some of the classes, with all their images or the same number of each."""

    main = "num_classes"
    num_classes: int | None = Field(
        None, ge=2, description="number of classes to keep; None: all that names and under allow"
    )
    select: Literal["random", "most", "least", "frequency"] = Field(
        "random",
        description="which classes to keep: random ones, the most or least frequent, or random ones drawn "
        "with probabilities in proportion to their numbers of images",
    )
    names: tuple[str, ...] | None = Field(
        None, description="only keep classes of this list: a,b,c or a text file with one name per line"
    )
    under: str | None = Field(None, description="only keep classes under this synset of the hierarchy")
    hierarchy: str | None = Field(
        None, description="text file with a line `parent child` for every edge between synsets"
    )
    per_class: int | None = Field(
        None,
        ge=1,
        description="keep this number of images of each class; None: all (classes), or as many as the "
        "smallest class has (balanced)",
    )

    @field_validator("names", mode="before")
    @classmethod
    def _read_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if value is None or len(value) != 1 or not located(str(value[0])).is_file():
            return None if value is None else tuple(str(name) for name in value)
        return tuple(line for line in _lines(located(value[0])) if line.strip())

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_classes is None and self.names is None and self.under is None:
            raise UserError("classes needs a number of classes, names=... or under=... with hierarchy=...")
        if (self.under is None) != (self.hierarchy is None):
            raise UserError("under=SYNSET and hierarchy=FILE go together")
        if self.hierarchy is not None and not located(self.hierarchy).is_file():
            raise UserError(f"no hierarchy file {self.hierarchy!r}")
        return self

    @property
    def depends_on_seed(self) -> bool:
        """Whether the classes or their images are drawn.

        With `select` most or least, the seed orders classes with equally many images, but nothing else.
        Without a number of classes, all that are allowed are kept.
        """
        return self.num_classes is not None or self.per_class is not None

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of the classes with the lowest ranks; fewer classes are a subset of more.

        Raises:
            UserError: the pool has too few classes, or a class has too few images.
        """
        counts = pool.counts
        allowed = self._allowed(pool)
        wanted = self.num_classes or len(allowed)
        if wanted > len(allowed):
            raise UserError(f"{wanted} classes were asked for, there are {len(allowed)}")
        names = [pool.classes[label] for label in allowed.tolist()]
        uniform = hashing.uniform(hashing.keys_of(names), seed, "classes")
        rank = {
            "random": uniform,
            "most": uniform - counts[allowed],
            "least": uniform + counts[allowed],
            # Weighted sampling without replacement: Efraimidis and Spirakis, 2006, "Weighted random sampling
            # with a reservoir", algorithm A, with -log(u) / w in place of u ** (1 / w).
            "frequency": -np.log(uniform) / counts[allowed],
        }[self.select]
        is_kept = np.zeros(len(counts), dtype=bool)
        is_kept[allowed[np.argsort(rank, kind="stable")[:wanted]]] = True
        if self.per_class is None:
            return np.flatnonzero(is_kept[pool.labels])
        quota = np.where(is_kept, self.per_class, 0)
        pool.refuse_small_classes(quota)
        return pool.first_per_class(hashing.seeded(pool.keys, seed, "images"), quota)

    def size(self, pool: Size, source: Size) -> Size:
        """The number of classes as far as the options tell, with their images.

        Without `num_classes`, every name counts as a class of the pool, and so does every synset below
        `under`.
        """
        known = [pool.classes]
        if self.num_classes is not None:
            known.append(self.num_classes)
        if self.names is not None:
            known.append(len(set(self.names)))
        if self.under is not None and self.hierarchy is not None:
            known.append(len(descendants(self.under, located(self.hierarchy))))
        classes = min(known)
        images = round(pool.images * classes / pool.classes)
        return Size(images if self.per_class is None else min(self.per_class * classes, images), classes)

    def _allowed(self, pool: Pool) -> npt.NDArray[np.int64]:
        """Labels of the classes to choose among, in ascending order, int64 [n]."""
        allowed = np.flatnonzero(pool.counts)
        if self.names is not None:
            allowed = np.intersect1d(allowed, _labels(pool.classes, self.names))
        if self.under is not None and self.hierarchy is not None:
            below = descendants(self.under, located(self.hierarchy))
            allowed = allowed[[pool.classes[label] in below for label in allowed.tolist()]]
            if len(allowed) < 2:
                raise UserError(f"{len(allowed)} of the classes are under {self.under} in {self.hierarchy}")
        return allowed


def descendants(synset: str, hierarchy: Path) -> set[str]:
    """A synset and all synsets below it.

    Args:
        synset: name of a synset.
        hierarchy: text file with a line `parent child` for every edge.

    Raises:
        UserError: the file cannot be read, a line has another form, or the synset is not in the file.
    """
    children: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(hierarchy), 1):
        if not line.strip():
            continue
        words = line.split()
        if len(words) != 2:
            raise UserError(f"{hierarchy}, line {number}: expected `parent child`, got {line!r}")
        children.setdefault(words[0], []).append(words[1])
    known = set(children).union(*children.values())
    if synset not in known:
        raise UserError(f"{synset!r} is not in {hierarchy}")
    below, open_nodes = {synset}, [synset]
    while open_nodes:
        new = set(children.get(open_nodes.pop(), ())) - below
        below |= new
        open_nodes += new
    return below


def _labels(classes: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Labels of the classes with these names, int64 [n]."""
    label_of = {name: label for label, name in enumerate(classes)}
    for name in names:
        if name not in label_of:
            raise unknown("class", name, classes)
    return np.array([label_of[name] for name in names], dtype=np.int64)


def _lines(path: Path) -> list[str]:
    """The lines of a text file that an option names."""
    try:
        return read_text(path).splitlines()
    except UserError as error:
        raise UserError(f"{path} {error}") from None
