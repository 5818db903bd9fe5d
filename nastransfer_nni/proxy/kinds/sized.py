"""What kinds share that keep a given number of images, and the split of that number over classes."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, InstanceOf, field_validator, model_validator

from nastransfer_nni.base.config import FromText
from nastransfer_nni.data import hashing
from nastransfer_nni.proxy.changes import copies_of
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.pool import Counts, Pool
from nastransfer_nni.proxy.scorers import ScoreSource
from nastransfer_nni.proxy.spec import ProxySpec, parse
from nastransfer_nni.proxy.step import Size, Step
from search_spaces.errors import UserError


class Sized(Step):
    """A step that keeps a fraction of the images, a number of them, or as many as another proxy has."""

    main = "amount"
    amount: float | None = Field(
        None, description="keep this fraction (up to 1) or number (from 2 on) of the images"
    )
    like: Annotated[InstanceOf[ProxySpec], FromText(parse)] | None = Field(
        None, description="keep as many images as this proxy of the same source: a short form or a manifest"
    )

    @field_validator("amount")
    @classmethod
    def _check_amount(cls, value: float | None) -> float | None:
        if value is not None and not (0 < value <= 1 or (value >= 2 and value.is_integer())):
            raise UserError("must be a fraction above 0 and up to 1, or a whole number of images from 2 on")
        return value

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        choices = [name for name in ("amount", "like", "per_class") if name in type(self).model_fields]
        if sum(getattr(self, name) is not None for name in choices) != 1:
            raise UserError(f"{self.kind} takes exactly one of {', '.join(choices[:-1])} or {choices[-1]}")
        return self

    @property
    def depends_on_seed(self) -> bool:
        """Whether the number of images does; `like` a random proxy, it may."""
        return self.like is not None and self.like.depends_on_seed

    @property
    def columns(self) -> frozenset[tuple[ScoreSource, str]]:
        """Those of the proxy that `like` names."""
        return frozenset() if self.like is None else self.like.columns

    @property
    def keeps_all(self) -> bool:
        """Whether the step keeps every image (`amount=1`)."""
        return self.amount == 1

    def number(self, pool: Pool, seed: int) -> int:
        """Number of images to keep, where `amount` or `like` is given.

        Raises:
            UserError: the pool does not have so many, or `like` names a proxy that cannot be selected.
        """
        if self.like is None:
            number = self._number(len(pool))
        elif self.like.manifest is None:
            number = len(self.like.choose(pool.source, seed)) * copies_of(self.like.changes)
        else:
            number = len(Manifest.read(self.like.manifest))
        if not 1 <= number <= len(pool):
            raise UserError(f"it asks for {number} of {len(pool)} images")
        return number

    def size(self, pool: Size, source: Size) -> Size:
        """The number of images; every class counts as kept."""
        number = self._number(pool.images) if self.like is None else self.like.size(*source).images
        return Size(min(number, pool.images), pool.classes)

    def _number(self, pool_images: int) -> int:
        assert self.amount is not None, "amount, unless like or per_class is given"
        return round(self.amount * pool_images) if self.amount <= 1 else int(self.amount)


class Stratified(Sized):
    """A sized step that divides the number over the classes, by their sizes or equally."""

    per_class: int | None = Field(None, ge=1, description="keep this number of images of each class")
    floor: int = Field(1, ge=0, description="keep at least this number of images of each class")

    def size(self, pool: Size, source: Size) -> Size:
        """As for `Sized`, or `per_class` images of each class."""
        if self.per_class is None:
            return super().size(pool, source)
        return Size(min(self.per_class * pool.classes, pool.images), pool.classes)

    def quota(self, pool: Pool, seed: int) -> Counts:
        """Number of images to keep of each class, int64 [C].

        Raises:
            UserError: a class or the pool has too few images, or the number is too small for `floor`.
        """
        if self.per_class is None:
            return proportional(pool, self.number(pool, seed), self.floor)
        pool.refuse_small_classes(self.per_class)
        return np.where(pool.counts > 0, self.per_class, 0)


def proportional(pool: Pool, number: int, floor: int) -> Counts:
    """Divide a number of images over the classes in proportion to their sizes.

    Fractions are rounded by the largest-remainder (Hare-Niemeyer) method; equal remainders are ordered by a
    hash of the class's name. Classes whose share is below the floor get the floor, the others share the rest.

    Args:
        pool: the images, of which only the counts and names of the classes matter.
        number: number of images to keep.
        floor: least number of images of each class; a smaller class gives all it has.

    Returns:
        Number of images of each class, int64 [C], at most what the class has.

    Raises:
        UserError: the floors alone exceed `number`, or a class would have no image.
    """
    counts = pool.counts
    least = np.minimum(floor, counts)
    if least.sum() > number:
        raise UserError(
            f"{number} images are too few for a floor of {floor} in each of {np.count_nonzero(counts)} "
            f"classes; {least.sum()} are needed"
        )
    fixed = np.zeros(len(counts), dtype=bool)
    while True:
        free = counts * ~fixed
        ideal = np.where(fixed, least, free * ((number - least[fixed].sum()) / max(free.sum(), 1)))
        low = ~fixed & (ideal < least)
        if not low.any():
            break
        fixed |= low
    quota = np.floor(ideal + 1e-9).astype(np.int64)
    remainder = np.where(quota < counts, ideal - quota, -1.0)
    by_name = np.argsort(hashing.keys_of(pool.classes), kind="stable")
    order = by_name[np.argsort(-np.round(remainder[by_name], 9), kind="stable")]
    quota[order[: number - int(quota.sum())]] += 1
    empty = np.flatnonzero((quota == 0) & (counts > 0))
    if len(empty):
        raise UserError(
            f"{len(empty)} classes would have no image ({pool.classes[empty[0]]!r} among them): ask for more "
            "images or for floor=1"
        )
    return quota
