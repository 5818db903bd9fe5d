"""Cells whose candidates process more channels than before: new channels are copies of old ones.

The copies are drawn at random and not rescaled, as in DrNAS (Chen et al., ICLR 2021, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.operations import FactorizedReduce


@dataclass(frozen=True)
class Growth:
    """Which old channels the channels of a wider layer come from.

    Attributes:
        rows: channels of the output, or of BatchNorm, likewise; None: the same channels.
        columns: channels of the input that each new one is a copy of; None: the same channels.
    """

    rows: Tensor | None = None
    columns: Tensor | None = None

    def of(self, tensor: Tensor) -> Tensor:
        """A weight, a buffer or a momentum of the old layer, as wide as the new one."""
        rows = tensor if self.rows is None else tensor[self.rows]
        return rows if self.columns is None else rows[:, self.columns]


@torch.no_grad()
def widen(old: Any, new: Any, generator: torch.Generator) -> dict[str, Growth]:
    """Copy the weights of a supernet into one whose edges process more channels.

    Args:
        old: the supernet so far.
        new: a supernet of the same cells, with larger edges.
        generator: random generator of the copies.

    Returns:
        How each parameter has grown, by name; one that has not has an empty growth.
    """
    grown: dict[str, Growth] = {}
    layers = {id(module): name for name, module in new.named_modules()}
    for one, other in zip(old.cells, new.cells, strict=True):
        for narrow, wide in zip(one.operations(), other.operations(), strict=True):
            for candidate, larger in zip(narrow.candidates, wide.candidates, strict=True):
                for (before, after), growth in _layers(candidate, larger, generator):
                    name = layers[id(after)]
                    grown |= {f"{name}.{key}": growth for key in before.state_dict()}
    state = {same_name(name): tensor for name, tensor in old.state_dict().items()}
    for name, tensor in new.state_dict().items():
        before = state[same_name(name)]
        tensor.copy_(grown.get(name, Growth()).of(before) if before.dim() else before)
    return {name: grown.get(name, Growth()) for name, _ in new.named_parameters()}


def same_name(name: str) -> str:
    """The name of a weight, whether or not its edge is partial."""
    return name.replace(".mixed.candidates.", ".candidates.")


def _layers(
    old: nn.Module, new: nn.Module, generator: torch.Generator
) -> Iterable[tuple[tuple[nn.Module, nn.Module], Growth]]:
    """The layers of a candidate before and after, and how they grow."""

    def drawn(before: int, after: int) -> Tensor:
        return torch.cat(
            [torch.arange(before), torch.randint(before, (after - before,), generator=generator)]
        )

    if isinstance(old, FactorizedReduce):
        assert isinstance(new, FactorizedReduce)
        rows = []
        for before, after in ((old.conv1, new.conv1), (old.conv2, new.conv2)):
            columns = drawn(before.in_channels, after.in_channels)
            rows.append(drawn(before.out_channels, after.out_channels))
            yield (before, after), Growth(rows[-1], columns)
        yield (old.bn, new.bn), Growth(torch.cat([rows[0], old.conv1.out_channels + rows[1]]))
        return
    channels: Tensor | None = None
    for layer, wider in zip(old.modules(), new.modules(), strict=True):
        if isinstance(layer, nn.Conv2d) and isinstance(wider, nn.Conv2d):
            is_depthwise = layer.kernel_size[0] > 1
            columns_of = None if is_depthwise else channels
            channels = drawn(layer.out_channels, wider.out_channels)
            yield (layer, wider), Growth(channels, columns_of)
        elif isinstance(layer, nn.BatchNorm2d) and isinstance(wider, nn.BatchNorm2d):
            if channels is None:
                channels = drawn(layer.num_features, wider.num_features)
            yield (layer, wider), Growth(channels)
