"""Sizes of networks: parameters, and multiply-adds as torch's own counter counts them.

`CellCosts` counts the multiply-adds of any genotype by adding up a table. The operations of a cell do not
change each other's sizes, so the cost of a network is a constant (stem, preprocessing, classifier) plus a sum
over its edges. This makes a limit cheap to check and lets a mixture be projected to it exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.base import AbstractGenotype
from search_spaces.genotype import INPUTS, KINDS, KNOWN, NODES, Genotype, concat
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


class EdgeCosts(ABC):
    """Counts the multiply-adds of a final network as a constant and a sum over the edges of its cells.

    Attributes:
        kinds: kinds of cell.
    """

    kinds: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def base(self) -> int:
        """Multiply-adds of everything but the operations."""

    @abstractmethod
    def edge(self, kind: str, name: str, state: int) -> int:
        """Multiply-adds of an operation in all cells of a kind, per image.

        Args:
            kind: kind of cell.
            name: name of the operation.
            state: the state that the operation reads.
        """

    def __call__(self, genotype: AbstractGenotype) -> int:
        """Multiply-adds of the genotype's final network, per image."""
        edges = (self.edge(kind, *edge) for kind in self.kinds for edge in genotype.edges(kind))
        return self.base + sum(edges)


class CellCosts(EdgeCosts):
    """Counts the multiply-adds of a final network from its genotype; the result equals that of `mult_adds`.

    Args:
        width: channels of the first cell's nodes.
        layers: number of cells.
        num_classes: number of classes.
        stem: `cifar` or `imagenet`.
        image_size: height and width of the image in px.
        nodes: number of nodes of a cell.
    """

    kinds = KINDS

    def __init__(
        self,
        width: int,
        layers: int,
        num_classes: int,
        stem: str,
        image_size: int,
        nodes: int = NODES,
    ) -> None:
        self.setting = (width, layers, num_classes, stem, image_size)
        self.nodes = nodes

    @cached_property
    def base(self) -> int:  # type: ignore[override]
        """Multiply-adds of everything but the operations: the cost of pooling everywhere, which is free."""
        width, layers, num_classes, stem, image_size = self.setting
        pooling = tuple(("max_pool_3x3", state) for _ in concat(self.nodes) for state in (0, 1))
        with torch.device("meta"):
            network = DartsNetwork(Genotype(pooling, pooling), width, layers, num_classes, stem)
        return mult_adds(network, image_size)

    def edge(self, kind: str, name: str, state: int) -> int:
        """Multiply-adds of an operation in all cells of a kind, per image."""
        return self._table[kind, name, kind == "reduce" and state < INPUTS]

    @cached_property
    def _table(self) -> dict[tuple[str, str, bool], int]:
        width, layers, _, stem, size = self.setting
        for _ in range(3 if stem == "imagenet" else 0):
            size = -(-size // 2)
        table = {(kind, name, reduces): 0 for kind in KINDS for name in KNOWN for reduces in (False, True)}
        for cell in geometries(width, layers, stem, self.nodes):
            inside = -(-size // 2) if cell.kind == "reduce" else size
            for name in KNOWN:
                table[cell.kind, name, False] += _count(name, cell.channels, 1, inside)
                if cell.kind == "reduce":
                    table[cell.kind, name, True] += _count(name, cell.channels, 2, size)
            size = inside
        return table


def _count(name: str, channels: int, stride: int, size: int) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        operation(name, channels, stride)(torch.empty(1, channels, size, size))
    return int(counter.get_total_flops()) // 2
