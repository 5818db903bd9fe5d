"""Sizes of networks: parameters, and multiply-adds as torch's own counter counts them.

`CellCosts` counts the multiply-adds of any genotype by adding up a table. The operations of a cell do not
change each other's sizes, so the cost of a network is a constant (stem, preprocessing, classifier) plus a sum
over its edges. This makes a limit cheap to check and lets a mixture be projected to it exactly.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.genotype import CONCAT, INPUTS, KINDS, OPERATIONS, Genotype
from search_spaces.geometry import geometries
from search_spaces.network import DartsNetwork
from search_spaces.operations import operation


def mult_adds(network: nn.Module, image_size: int, in_chans: int = 3) -> int:
    """Multiply-adds of convolutions and linear layers for one image of `image_size` px, in evaluation mode.

    `FlopCounterMode` counts a multiply-add as two operations and ignores pooling, BatchNorm and activations,
    which is the convention of this project. A network on torch's meta device is counted without computing.

    Args:
        network: the network, on any device.
        image_size: height and width of the image in px.
        in_chans: channels of the image.
    """
    parameter = next(network.parameters())
    image = torch.zeros(1, in_chans, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(was_training)
    return int(counter.get_total_flops()) // 2


def parameters(network: nn.Module) -> int:
    """Number of parameters, those of BatchNorm included."""
    return sum(parameter.numel() for parameter in network.parameters())


class CellCosts:
    """Counts the multiply-adds of a final network from its genotype; the result equals that of `mult_adds`.

    Args:
        width: channels of the first cell's nodes.
        layers: number of cells.
        num_classes: number of classes.
        stem: `cifar` or `imagenet`.
        image_size: height and width of the image in px.
    """

    def __init__(self, width: int, layers: int, num_classes: int, stem: str, image_size: int) -> None:
        self.setting = (width, layers, num_classes, stem, image_size)

    def __call__(self, genotype: Genotype) -> int:
        """Multiply-adds of the genotype's final network, per image."""
        return self.base + sum(
            self.edge(kind, *edge) for kind in KINDS for node in genotype.nodes(kind) for edge in node
        )

    @cached_property
    def base(self) -> int:
        """Multiply-adds of everything but the operations: the cost of pooling everywhere, which is free."""
        width, layers, num_classes, stem, image_size = self.setting
        pooling = tuple(("max_pool_3x3", state) for _ in CONCAT for state in (0, 1))
        with torch.device("meta"):
            network = DartsNetwork(Genotype(pooling, pooling), width, layers, num_classes, stem)
        return mult_adds(network, image_size)

    def edge(self, kind: str, name: str, state: int) -> int:
        """Multiply-adds of an operation in all cells of a kind, per image.

        Args:
            kind: `normal` or `reduce`.
            name: one of `OPERATIONS`.
            state: the state that the operation reads.
        """
        return self._table[kind, name, kind == "reduce" and state < INPUTS]

    @cached_property
    def _table(self) -> dict[tuple[str, str, bool], int]:
        width, layers, _, stem, size = self.setting
        for _ in range(3 if stem == "imagenet" else 0):
            size = -(-size // 2)
        table = {
            (kind, name, reduces): 0 for kind in KINDS for name in OPERATIONS for reduces in (False, True)
        }
        for cell in geometries(width, layers, stem):
            inside = -(-size // 2) if cell.kind == "reduce" else size
            for name in OPERATIONS:
                table[cell.kind, name, False] += _count(name, cell.channels, 1, inside)
                if cell.kind == "reduce":
                    table[cell.kind, name, True] += _count(name, cell.channels, 2, size)
            size = inside
        return table


def _count(name: str, channels: int, stride: int, size: int) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        operation(name, channels, stride)(torch.empty(1, channels, size, size))
    return int(counter.get_total_flops()) // 2
