"""Short forms of every kind of step, with what is true of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy.pool import Pool


@dataclass(frozen=True)
class Case:
    """A short form.

    Attributes:
        text: the short form.
        images: number of images that it makes of 1,000 images in 10 equal classes.
        classes: number of their classes.
        depends_on_seed: whether another seed may select or make other images.
    """

    text: str
    images: int
    classes: int
    depends_on_seed: bool


POSITIONS = Path(__file__).with_name("positions.txt")
"""200 positions below 1,000 that are in the training split of the digits, too."""
CASES = (
    Case("all", 1000, 10, False),
    Case("classes:4", 400, 4, True),
    Case("classes:4,per_class=30", 120, 4, True),
    Case("classes:4,select=most", 400, 4, True),
    Case("classes:4,select=frequency", 400, 4, True),
    Case("classes:names=1,2,5", 300, 3, False),
    Case("classes:2,names=1,2,5", 200, 2, True),
    Case("images:0.2", 200, 10, True),
    Case("images:1.0", 1000, 10, False),
    Case("images:300,floor=3", 300, 10, True),
    Case("images:per_class=20", 200, 10, True),
    Case("images:like=classes:3", 300, 10, True),
    Case("balanced", 1000, 10, True),
    Case("balanced:50,short=drop", 500, 10, True),
    Case("head:0.3", 300, 3, True),
    Case("tail", 500, 5, True),
    Case("entropy-p1:0.2", 200, 10, True),
    Case("entropy-p2:300,bin_width=0.2", 300, 10, True),
    Case("entropy-p3:like=classes:2", 200, 10, True),
    Case("easy:0.2,by=margin", 200, 10, False),
    Case("hard:per_class=9", 90, 10, False),
    Case("hard:like=classes:3", 300, 10, True),
    Case("hard:0.2,by=el2n", 200, 10, False),
    Case("coverage:0.2,by=forgetting", 200, 10, True),
    Case("coverage:0.2", 200, 10, True),
    Case("coverage:300,by=margin,cutoff=0.2,strata=9", 300, 10, True),
    Case("moderate:0.2", 200, 10, False),
    Case("moderate:per_class=9", 90, 10, False),
    Case("k-center:0.1", 100, 10, True),
    Case("k-center:100,across=True", 100, 10, True),
    Case("herding:0.1", 100, 10, False),
    Case("herding:per_class=9", 90, 10, False),
    Case("cluster:0.1,clusters=12", 100, 10, True),
    Case("resolution:16", 1000, 10, False),
    Case(f"indices:{POSITIONS}", 200, 10, False),
    Case(f"images:1.0+indices:{POSITIONS}", 200, 10, False),
    Case("labels:random", 1000, 10, True),
    Case("images:0.3+pixels:noise+labels:random", 300, 10, True),
    Case("classes:5+task:rotation", 2000, 4, True),
    Case("pixels:noise+resolution:12", 1000, 10, True),
    Case("images:like=classes:3+task:rotation", 1200, 4, True),
    Case("classes:5+images:0.5+resolution:12", 250, 5, True),
    Case("images:0.5+images:like=classes:3", 300, 10, True),
)


class MadeUpScores(Pool):
    """A pool whose scores and features are random numbers that go with the images' keys."""

    def column(self, source, name):
        if name != "features":
            return -np.log(hashing.uniform(self.keys, 0, name))
        return np.stack([hashing.uniform(self.keys, 0, str(axis)) for axis in range(6)], axis=1)


def pool_of(counts, seed=0):
    """A pool with so many images of each class "0", "1", ... in random order."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    keys = hashing.mix(np.arange(len(labels), dtype=np.uint64))
    positions = np.arange(len(labels))
    return MadeUpScores(tuple(map(str, range(len(counts)))), labels, keys, positions=positions)
