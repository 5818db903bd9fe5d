"""Sizes of networks: parameters, and multiply-adds as torch's own counter counts them.

`PartSizes` sizes any architecture by adding up a table, so that a limit is cheap to check and a mixture can
be projected to it exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.base import AbstractGenotype
from search_spaces.parts import Part


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
    """A size of final networks as a constant and a sum over the edges of their cells.

    Attributes:
        kinds: kinds of cell.
    """

    kinds: tuple[str, ...]

    @property
    @abstractmethod
    def base(self) -> int:
        """Size of everything but the operations."""

    @abstractmethod
    def edge(self, kind: str, name: str, state: int) -> int:
        """Size of an operation in all cells of a kind.

        Args:
            kind: kind of cell.
            name: name of the operation.
            state: the state that the operation reads.
        """

    def __call__(self, genotype: AbstractGenotype) -> int:
        """Size of the genotype's final network."""
        edges = (self.edge(kind, *edge) for kind in self.kinds for edge in genotype.edges(kind))
        return self.base + sum(edges)


class PartSizes(EdgeCosts):
    """A size that is the sum of the sizes of a network's parts.

    Args:
        kinds: kinds of cell.
        parts: the parts, of every architecture and of every operation.
        measure: size of one part.
        constant: what every network has besides.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        parts: Sequence[Part],
        measure: Callable[[Part], int],
        constant: int = 0,
    ) -> None:
        self.kinds, self._parts, self._measure, self._constant = kinds, parts, measure, constant

    @property
    def base(self) -> int:
        """Size of the parts that every architecture has."""
        return self._constant + self._sums["", "", 0]

    def edge(self, kind: str, name: str, state: int) -> int:
        """Size of an operation in all cells of a kind."""
        return self._sums[kind, name, state]

    @cached_property
    def _sums(self) -> dict[tuple[str, str, int], int]:
        known: dict[str, int] = {}
        sums: dict[tuple[str, str, int], int] = {}
        for part in self._parts:
            if part.name not in known:
                known[part.name] = self._measure(part)
            for state in part.states or (0,):
                key = (part.kind, part.operation, state)
                sums[key] = sums.get(key, 0) + known[part.name]
        return sums


def part_mult_adds(part: Part) -> int:
    """Multiply-adds of a part, per image."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        part.make().eval()(*part.inputs())
    return int(counter.get_total_flops()) // 2


def part_parameters(part: Part) -> int:
    """Number of parameters of a part."""
    with torch.device("meta"):
        return parameters(part.make())
