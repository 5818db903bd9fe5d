"""Scores from the signs of activations: how many ways the ReLUs of an untrained network part the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Batch = tuple[Tensor, Tensor]


class _Signs(TorchFunctionMode):
    """Collects, for every ReLU that is computed, which of its outputs are positive: bool [B, units]."""

    def __init__(self) -> None:
        super().__init__()
        self.signs: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function in (torch.relu, nn.functional.relu):
            self.signs.append((result > 0).flatten(1))
        return result


def _signs(network: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad(), _Signs() as mode:
        network(images)
    return mode.signs


def nwot(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Mean over batches of log |K|, with K[i, j] the number of ReLUs that images i and j switch alike."""
    values = []
    for images, _ in batches:
        kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
        for sign in _signs(network, images):
            on = sign.float()
            off = 1 - on
            kernel += (on @ on.T + off @ off.T).double()
        values.append(torch.linalg.slogdet(kernel).logabsdet)
    return float(torch.stack(values).mean())


def swap(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Mean over batches of the number of different columns of signs: a column is one ReLU's, over images."""
    counts = []
    for images, _ in batches:
        patterns = torch.cat(_signs(network, images), dim=1).cpu().numpy()
        bits = np.packbits(np.pad(patterns, ((0, -len(images) % 64), (0, 0))), axis=0)
        columns = np.ascontiguousarray(bits.T).view(np.uint64)
        counts.append(len(np.unique(columns, axis=0 if columns.shape[1] > 1 else None)))
    return sum(counts) / len(counts)
