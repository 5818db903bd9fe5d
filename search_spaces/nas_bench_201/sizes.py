"""Multiply-adds of networks of NAS-Bench-201 as a sum over the edges of the cell."""

from __future__ import annotations

from functools import cached_property

import torch

from search_spaces.nas_bench_201.genotype import EDGES, KIND, NasBench201Genotype
from search_spaces.nas_bench_201.geometry import blocks
from search_spaces.nas_bench_201.network import NasBench201Network
from search_spaces.sizes import EdgeCosts, mult_adds


class NasBench201Costs(EdgeCosts):
    """Counts the multiply-adds of a final network from its cell; the result equals that of `mult_adds`.

    The authors' FLOPs are these numbers and one more for every class, the bias of the classifier.

    Args:
        width: channels of the first stage.
        layers: number of cells and residual blocks.
        num_classes: number of classes.
        stem: `cifar` or `imagenet`.
        image_size: height and width of the image in px.
    """

    kinds = (KIND,)

    def __init__(self, width: int, layers: int, num_classes: int, stem: str, image_size: int) -> None:
        self.setting = (width, layers, num_classes, stem)
        self.image_size = image_size

    @cached_property
    def base(self) -> int:  # type: ignore[override]
        """Multiply-adds of everything but the cells."""
        with torch.device("meta"):
            network = NasBench201Network(NasBench201Genotype(("none",) * len(EDGES)), *self.setting)
        return mult_adds(network, self.image_size)

    def edge(self, kind: str, name: str, state: int) -> int:
        """Multiply-adds of an operation on one edge of all cells, per image."""
        return self._per_weight * int(name[-1]) ** 2 if name.startswith("nor_conv") else 0

    @cached_property
    def _per_weight(self) -> int:
        """Multiply-adds of a 1x1 convolution in all cells."""
        width, layers, _, stem = self.setting
        size, total = self.image_size, 0
        for _ in range(3 if stem == "imagenet" else 0):
            size = -(-size // 2)
        for block in blocks(width, layers, stem):
            if block.kind == KIND:
                total += block.channels**2 * size**2
            else:
                size = -(-size // 2)
        return total
