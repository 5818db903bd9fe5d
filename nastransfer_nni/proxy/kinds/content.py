"""`labels`, `pixels` and `task`: the selected images with other labels or pixels.

The first two are null proxies: they ask how bad a proxy may be before transfer suffers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nastransfer_nni.proxy.changes import ANGLES
from nastransfer_nni.proxy.kinds.all_images import AllImages
from nastransfer_nni.proxy.step import Size, register


class _Change(AllImages):
    """Every image, changed."""

    @property
    def change(self) -> str:
        """The step's own text."""
        return self.text


@register("labels")
class Labels(_Change):
    """Every image with a random label.

    As in Zhang et al., "Neural architecture search with random labels" (RLNAS), CVPR 2021, each image has one
    label for all epochs, drawn uniformly from the classes, by its key and the seed. So the images keep their
    statistics, and the labels tell nothing.
    """

    main = "draw"
    draw: Literal["random"] = Field(
        description="labels that replace the true ones: random, one for each image"
    )

    @property
    def depends_on_seed(self) -> bool:
        """True: the labels are drawn."""
        return True


@register("pixels")
class Pixels(_Change):
    """Every image replaced by noise, with its true label.

    Each image has one noise image for all epochs, of its size, drawn by its key and the seed; pixels and
    channels are independent, and have the mean and deviation by which the set is normalized. Resolution and
    class sizes stay.
    """

    main = "fill"
    fill: Literal["noise"] = Field(description="pixels that replace the true ones: noise, one image for each")

    @property
    def depends_on_seed(self) -> bool:
        """True: the noise is drawn."""
        return True


@register("task")
class Task(_Change):
    """A self-supervised task.

    As in Liu et al., "Are labels necessary for neural architecture search?" (UnNAS), ECCV 2020, `rotation`
    has every image at 0, 90, 180 and 270 degrees, and the angle is the class. The four copies are four images
    of the budget. They are shuffled apart; in the paper they share a batch.
    """

    main = "target"
    target: Literal["rotation"] = Field(
        description="what is predicted instead of the class: rotation, by 0, 90, 180 or 270 degrees"
    )

    def size(self, pool: Size, source: Size) -> Size:
        """Four images for each one, in four classes."""
        return Size(len(ANGLES) * pool.images, len(ANGLES))
