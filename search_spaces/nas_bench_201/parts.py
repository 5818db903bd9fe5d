"""The parts of networks of NAS-Bench-201, see `search_spaces.parts`."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from search_spaces.nas_bench_201.genotype import EDGES, KIND, OPERATIONS
from search_spaces.nas_bench_201.geometry import blocks
from search_spaces.nas_bench_201.network import ResidualBlock, make_stem, operation
from search_spaces.parts import Head, Part, half, named


class Sums(nn.Module):
    """The sums of a cell's nodes: terms [B, C, H, W] of all edges -> one such map."""

    def forward(self, *terms: Tensor) -> Tensor:
        return torch.stack(terms).sum(dim=0)


class ActiveHead(Head):
    """The last layers: BatchNorm and ReLU before the classifier."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes)
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.last(x))


def parts(width: int, layers: int, num_classes: int, stem: str, image_size: int) -> list[Part]:
    """The parts of the final networks of a size; the arguments are those of `NasBench201Network`.

    Args:
        width: channels of the first stage.
        layers: number of cells and residual blocks.
        num_classes: number of classes.
        stem: `cifar` or `imagenet`.
        image_size: height and width of the image in px.
    """
    image, size = (3, image_size, image_size), image_size
    found = [Part(named(f"stem {stem}", image, width), partial(make_stem, stem, width), (image,))]
    for _ in range(3 if stem == "imagenet" else 0):
        size = half(size)
    for block in blocks(width, layers, stem):
        shape = (block.previous, size, size)
        if block.kind != KIND:
            make = partial(ResidualBlock, block.previous, block.channels)
            found.append(Part(named("residual block", shape, block.channels), make, (shape,)))
            size = half(size)
            continue
        found.append(Part(named("sums", shape), Sums, (shape,) * len(EDGES)))
        found += [
            Part(
                named(name, shape),
                partial(operation, name, block.channels),
                (shape,),
                KIND,
                name,
                tuple({state for _, state in EDGES}),
            )
            for name in OPERATIONS
        ]
    shape = (block.channels, size, size)
    make_head = partial(ActiveHead, block.channels, num_classes)
    return [*found, Part(named("head with BatchNorm", shape, num_classes), make_head, (shape,))]
