"""The search-time cell of PC-DARTS (Xu et al., ICLR 2020): candidates process a part of the channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle, max_pool2d

from search_spaces.cells.mixed import MixedCell, MixedOperation
from search_spaces.errors import UserError
from search_spaces.genotype import OPERATIONS
from search_spaces.geometry import CellGeometry


class PartialEdge(nn.Module):
    """An edge whose candidates process 1/`parts` of the channels; the others bypass them.

    The weights of an edge's candidates add up to the weight of the edge, by which the bypassed channels are
    scaled. Then the channels are shuffled.

    Args:
        channels: number of channels of the node; a multiple of `parts`.
        stride: stride of the candidates; at 2 the bypassed channels are max-pooled.
        parts: one channel in `parts` is processed.
        names: candidates, without `none`.

    Raises:
        UserError: `parts` does not divide the channels.
    """

    def __init__(self, channels: int, stride: int, parts: int, names: tuple[str, ...] = OPERATIONS) -> None:
        super().__init__()
        if channels % parts:
            raise UserError(f"partial_channels = {parts} does not divide the {channels} channels of a cell")
        self.stride, self.parts = stride, parts
        self.computed = channels // parts
        self.mixed = MixedOperation(self.computed, stride, names)

    def forward(
        self, x: Tensor, weights: Tensor, computed: list[bool] | None = None, mask: Tensor | None = None
    ) -> Tensor:
        mixed = self.mixed(x[:, : self.computed], weights, computed, mask)
        joined = torch.cat([mixed, weights.sum() * bypass(x[:, self.computed :], self.stride)], dim=1)
        return channel_shuffle(joined, self.parts)


def bypass(rest: Tensor, stride: int) -> Tensor:
    """The channels that no candidate processes; at stride 2 they are max-pooled."""
    return max_pool2d(rest, 2, ceil_mode=True) if stride == 2 else rest


def partial_edges(geometry: CellGeometry, parts: int) -> nn.ModuleList:
    """The partial edges of a cell, node by node, then by input state."""
    return nn.ModuleList(
        PartialEdge(geometry.channels, geometry.stride(state), parts, geometry.operations)
        for node in geometry.concat
        for state in range(node)
    )


class PartialCell(MixedCell):
    """`MixedCell` whose edges are partial.

    Args:
        geometry: position of the cell in the network.
        parts: one channel in `parts` is processed; must divide the channels of the cell.
    """

    def __init__(self, geometry: CellGeometry, parts: int) -> None:
        super().__init__(geometry)
        self.edges = partial_edges(geometry, parts)
