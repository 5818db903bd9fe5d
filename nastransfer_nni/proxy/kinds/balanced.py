"""`balanced`: the same number of images of every class."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import Size, Step, register
from search_spaces.errors import UserError


@register("balanced")
class Balanced(Step):
    """Random images, the same number of every class."""

    main = "per_class"
    per_class: int | None = Field(
        None,
        ge=1,
        description="keep this number of images of each class; None: as many as the smallest class has",
    )
    short: Literal["refuse", "drop", "keep"] = Field(
        "refuse",
        description="what to do with classes of fewer than per_class images: refuse them with an error, drop "
        "them, or keep all their images",
    )

    @property
    def depends_on_seed(self) -> bool:
        """True: the images of a class are drawn."""
        return True

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The images of each class with the lowest random ranks.

        Raises:
            UserError: a class is too small and `short` is `refuse`, or every class is.
        """
        counts = pool.counts
        per_class = self.per_class or int(counts[counts > 0].min())
        if self.short == "refuse":
            pool.refuse_small_classes(
                per_class, hint="; short=drop leaves such classes out, short=keep keeps all their images"
            )
        if self.short == "keep":
            quota = np.minimum(counts, per_class)
        else:
            quota = np.where(counts >= per_class, per_class, 0)
        if not quota.any():
            raise UserError(f"no class has {per_class} images")
        return pool.first_per_class(hashing.seeded(pool.keys, seed, "images"), quota)

    def size(self, pool: Size, source: Size) -> Size:
        """`per_class` images of each class; all images by default, as classes count as equally large."""
        if self.per_class is None:
            return pool
        return Size(min(self.per_class * pool.classes, pool.images), pool.classes)
