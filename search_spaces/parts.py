"""The parts that final networks consist of, each on its own: sizes add them up, latencies are theirs.

The operations of a cell do not change each other's shapes, so that a network is the parts that every
architecture has (stem, preprocessing, sums and concatenation, classifier), and one for each edge and cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from search_spaces.genotype import INPUTS, KNOWN, NODES
from search_spaces.geometry import CellGeometry, geometries
from search_spaces.network import Stem
from search_spaces.operations import operation, preprocess

Shape = tuple[int, ...]
"""Shape of an input without the number of images: (C, H, W)."""


@dataclass(frozen=True)
class Part:
    """A part of a final network.

    Attributes:
        name: what it computes and on which shapes; parts of one name are the same computation.
        make: makes the module.
        shapes: shapes of its inputs, without the number of images.
        kind: kind of cell that the operation of an edge is in; empty: every architecture has the part.
        operation: name of the operation.
        states: the states that the operation reads.
    """

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]
    kind: str = ""
    operation: str = ""
    states: tuple[int, ...] = ()

    def inputs(self, batch_size: int = 1) -> list[Tensor]:
        """Random inputs, on the current device."""
        return [torch.randn(batch_size, *shape) for shape in self.shapes]


def named(what: str, shape: Shape, channels: int | None = None) -> str:
    """Name of a part, such as `sep_conv_3x3 36x32x32 -> 36`: what it computes, input and output channels."""
    sizes = "x".join(map(str, shape))
    return f"{what} {sizes}" if channels is None else f"{what} {sizes} -> {channels}"


class Head(nn.Module):
    """The last layers: [B, channels, H, W] -> logits [B, num_classes]."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(x).flatten(1))


class Join(nn.Module):
    """The nodes of a cell: sums of two edges each, [B, C, H, W] all -> [B, nodes * C, H, W]."""

    def forward(self, *edges: Tensor) -> Tensor:
        return torch.cat(
            [first + second for first, second in zip(edges[::2], edges[1::2], strict=True)], dim=1
        )


def darts_parts(
    width: int,
    layers: int,
    num_classes: int,
    stem: str,
    image_size: int,
    nodes: int = NODES,
) -> list[Part]:
    """The parts of networks of the DARTS family.

    Args:
        width: channels of the first cell's nodes.
        layers: number of cells.
        num_classes: number of classes.
        stem: `cifar` or `imagenet`.
        image_size: height and width of the image in px.
        nodes: number of nodes of a cell.
    """
    image = (3, image_size, image_size)
    found = [Part(named(f"stem {stem}", image, width), partial(Stem, stem, width), (image,))]
    before = size = image_size  # of the two inputs of a cell
    if stem == "imagenet":
        before = half(half(image_size))
        size = half(before)
    for cell in geometries(width, layers, stem, nodes):
        found += _cell_parts(cell, before, size)
        before, size = size, half(size) if cell.kind == "reduce" else size
    shape = (cell.out_channels, size, size)
    return [*found, Part(named("head", shape, num_classes), partial(Head, shape[0], num_classes), (shape,))]


def half(size: int) -> int:
    """Size after a stride of 2, in px."""
    return -(-size // 2)


def _cell_parts(cell: CellGeometry, before: int, size: int) -> Iterator[Part]:
    """The parts of a cell whose inputs have the sizes `before` and `size` in px."""
    channels = cell.channels
    for in_channels, pixels, follows in (
        (cell.before_previous, before, cell.follows_reduction),
        (cell.previous, size, False),
    ):
        shape, what = (in_channels, pixels, pixels), "halving" if follows else "preprocessing"
        yield Part(
            named(what, shape, channels),
            partial(preprocess, in_channels, channels, follows),
            (shape,),
        )
    inside = half(size) if cell.kind == "reduce" else size
    yield Part(
        named(f"join {cell.nodes}", (channels, inside, inside)),
        Join,
        ((channels, inside, inside),) * (2 * cell.nodes),
    )
    states = range(INPUTS + cell.nodes - 1)
    for stride in {cell.stride(state) for state in states}:
        shape = (channels, size if stride > 1 else inside, size if stride > 1 else inside)
        for name in KNOWN:
            yield Part(
                named(f"{name} stride {stride}", shape),
                partial(operation, name, channels, stride),
                (shape,),
                cell.kind,
                name,
                tuple(state for state in states if cell.stride(state) == stride),
            )
