"""Positions of the reduction cells, and the number of channels of every cell."""

from __future__ import annotations

from typing import NamedTuple

from search_spaces.errors import UserError, unknown
from search_spaces.genotype import NODES, OPERATIONS, concat

STEMS = ("cifar", "imagenet")

MIN_LAYERS = 3
"""Smallest number of cells with which a network has both normal and reduction cells."""

SMALL_PIXELS = 64
"""Largest image size, in pixels, for which the CIFAR stem is the default."""


def default_stem(img_size: int) -> str:
    """The stem for images of `img_size` pixels: `cifar` up to 64, `imagenet` above."""
    return "cifar" if img_size <= SMALL_PIXELS else "imagenet"


class CellGeometry(NamedTuple):
    """Position of a cell in the network.

    Attributes:
        kind: `normal` or `reduce`.
        before_previous: channels of state 0 before preprocessing.
        previous: channels of state 1 before preprocessing.
        channels: channels of every node.
        follows_reduction: whether state 0 is twice as large as state 1 in each direction.
        nodes: number of nodes.
        operations: candidates of an edge in a supernet, without `none`, in the order of the tables' columns.
    """

    kind: str
    before_previous: int
    previous: int
    channels: int
    follows_reduction: bool
    nodes: int = NODES
    operations: tuple[str, ...] = OPERATIONS

    @property
    def concat(self) -> tuple[int, ...]:
        """The states that the cell concatenates: its nodes."""
        return concat(self.nodes)

    @property
    def out_channels(self) -> int:
        """Channels of the cell's output."""
        return self.nodes * self.channels

    def stride(self, state: int) -> int:
        """Stride of an operation that reads `state`: 2 for the inputs of a reduction cell, else 1."""
        return 2 if self.kind == "reduce" and state < 2 else 1


def geometries(
    width: int,
    layers: int,
    stem: str,
    nodes: int = NODES,
    operations: tuple[str, ...] = OPERATIONS,
) -> list[CellGeometry]:
    """Geometry of every cell of a network, from the first to the last.

    Args:
        width: channels of the first cell's nodes; they double at each reduction cell.
        layers: number of cells; those after a third and two thirds of them reduce.
        stem: `cifar` or `imagenet`.
        nodes: number of nodes of a cell.
        operations: candidates of an edge in a supernet, without `none`.

    Raises:
        UserError: width or layers below 1, an unknown stem, or an odd width with the ImageNet stem, whose
            first convolution has width / 2 channels.
    """
    if layers < 1 or width < 1:
        raise UserError(f"width and layers must be at least 1, not {width} and {layers}")
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if stem == "imagenet" and width % 2:
        raise UserError(f"the imagenet stem needs an even width, not {width}")
    before, previous = (3 * width, 3 * width) if stem == "cifar" else (width, width)
    reduced, channels, cells = stem == "imagenet", width, []
    for index in range(layers):
        kind = "reduce" if index in (layers // 3, 2 * layers // 3) else "normal"
        channels *= 2 if kind == "reduce" else 1
        cells.append(CellGeometry(kind, before, previous, channels, reduced, nodes, operations))
        before, previous, reduced = previous, cells[-1].out_channels, kind == "reduce"
    return cells


def auxiliary_cell(layers: int) -> int:
    """Index of the cell whose output the auxiliary head reads."""
    return 2 * layers // 3
