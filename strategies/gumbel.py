"""Gumbel DARTS: an edge's choice is sampled, and relaxed so that gradients pass (Xie et al., ICLR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from strategies.darts import Darts
from strategies.options import GumbelOptions


class Gumbel(Darts):
    """DARTS whose mixture is drawn anew for every step, by Gumbel-softmax.

    The temperature falls linearly from epoch to epoch, so that draws harden. Cells are read off, and
    validated with, the probabilities themselves.
    """

    options: GumbelOptions

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """An epoch of DARTS on draws."""
        options = self.options
        done = epoch / max(1, self.epochs - 1)
        self._temperature = options.temperature + done * (options.temperature_min - options.temperature)
        seed = int(self.rng(epoch).integers(2**62))
        self._noise: torch.Generator | None = torch.Generator().manual_seed(seed)
        try:
            return super().train_epoch(epoch) | {"temperature": self._temperature}
        finally:
            self._noise = None

    def choice(self, table: Tensor) -> Tensor:
        """A draw while training, probabilities otherwise."""
        if (noise := self._noise) is None:
            return super().choice(table)
        gumbel = -torch.empty(table.shape).exponential_(generator=noise).log().to(table.device)
        return ((table.log_softmax(dim=-1) + gumbel) / self._temperature).softmax(dim=-1)
