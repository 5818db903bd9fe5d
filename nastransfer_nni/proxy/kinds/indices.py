"""`indices`: the images that another tool chose."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator

from nastransfer_nni.base.paths import located
from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy import indices
from nastransfer_nni.proxy.manifest import match
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import Size, Step, register
from search_spaces.errors import UserError


@register("indices")
class Chosen(Step):
    """The images that a file lists by their positions or keys."""

    main = "file"
    file: str = Field(
        description="text file with a position (from 0 on, in the order in which the set is stored) or a key "
        "on each line, or a .npy file of positions, or of keys as uint64"
    )

    @field_validator("file")
    @classmethod
    def _check_file(cls, value: str) -> str:
        if not located(value).is_file():
            raise UserError(f"no file {value!r}")
        return value

    @property
    def depends_on_seed(self) -> bool:
        """False: the file has chosen."""
        return False

    def choose(self, pool: Pool, seed: int) -> Rows:
        """The rows of the listed images.

        Raises:
            UserError: the file cannot be read, or lists an image that is not in the pool, or one twice.
        """
        listed = indices.read(located(self.file))
        available = pool.keys if listed.kind == "keys" else pool.positions.astype(np.uint64)
        rows, found = match(listed.values, available)
        if not found.all():
            first = int(listed.values[~found][0])
            shown = f"{first:016x}" if listed.kind == "keys" else str(first)
            raise UserError(
                f"{(~found).sum()} of the {len(found)} {listed.kind} are not among the {len(pool)} images, "
                f"or are listed twice ({shown} is the first)"
            )
        return np.sort(rows)

    def size(self, pool: Size, source: Size) -> Size:
        """The number of listed images; every class counts as kept."""
        return Size(len(indices.read(located(self.file)).values), pool.classes)
