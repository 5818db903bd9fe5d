"""The images that a step of a proxy set selects from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing
from nastransfer_nni.data.hashing import Keys, Rows
from nastransfer_nni.proxy.scorers import ScoreSource
from search_spaces.errors import UserError

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The images that a step selects from, as arrays.

    This class knows labels and keys only, which is all that most kinds need. The pool of a real image set
    also has every `column` of scores.

    Attributes:
        classes: class names; those without an image in the pool are included.
        labels: index into `classes` of every image, int32 [N].
        keys: key of every image, the same in every storage format, uint64 [N].
        positions: position of every image in the stored set, from 0 on, int64 [N]; empty: not known.
        whole: the pool that this one is a subset of; None: it is no subset.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    keys: Keys
    positions: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64), kw_only=True)
    whole: Pool | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def source(self) -> Pool:
        """The pool of the whole source, to which the option `like` refers."""
        return self.whole or self

    @property
    def counts(self) -> Counts:
        """Number of images of each class, int64 [C]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def subset(self, rows: Rows) -> Pool:
        """The pool of these rows, int64 [n]."""
        positions = self.positions[rows] if len(self.positions) else self.positions
        return replace(
            self, labels=self.labels[rows], keys=self.keys[rows], positions=positions, whole=self.source
        )

    def column(self, source: ScoreSource, name: str) -> npt.NDArray[Any]:
        """Scores or features of every image.

        Args:
            source: the network or file that they come from.
            name: entropy, loss, margin or features.

        Returns:
            Scores, float64 [N], or features, float [N, D].

        Raises:
            UserError: the file lacks the column or some images, or the network is not available.
            LookupError: this pool has labels and keys only.
        """
        raise LookupError(f"a pool of labels and keys has no {name} (of {source})")

    def first_per_class(self, ranks: Keys, quota: Counts) -> Rows:
        """Select in every class the images with the lowest ranks.

        Args:
            ranks: rank of every image, uint64 [N]; the high bits count first, see `hashing.by_class`.
            quota: number of images to select of each class, int64 [C]; a smaller class gives all it has.

        Returns:
            Rows in ascending order, int64 [n].
        """
        ordered = hashing.by_class(self.labels, ranks, len(self.classes))
        counts = self.counts
        starts = np.cumsum(counts) - counts
        taken = np.minimum(quota, counts)
        position = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        return np.sort(ordered[np.repeat(starts, taken) + position])

    def refuse_small_classes(self, quota: Counts | int, hint: str = "") -> None:
        """Check that no class has fewer images than its quota; classes without images are ignored.

        Args:
            quota: number of images that each class needs, int64 [C] or one number for all.
            hint: end of the error message.

        Raises:
            UserError: names the first class that is too small.
        """
        counts = self.counts
        needed = np.broadcast_to(quota, counts.shape)
        small = np.flatnonzero((counts > 0) & (counts < needed))
        if len(small):
            name, count, wanted = self.classes[small[0]], counts[small[0]], needed[small[0]]
            raise UserError(
                f"{len(small)} classes have fewer than {wanted} images ({name!r} has {count}){hint}"
            )
