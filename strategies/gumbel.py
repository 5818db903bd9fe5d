"""Gumbel DARTS: an edge's choice is sampled, and relaxed so that gradients pass (Xie et al., ICLR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from strategies.builtin import GumbelOptions
from strategies.darts import Darts


class Gumbel(Darts):
    """DARTS whose mixture is drawn anew for every step, by Gumbel-softmax.

    The temperature falls linearly from epoch to epoch, so that draws become harder. The supernet is validated
    and genotypes are derived with the probabilities themselves.
    """

    options: GumbelOptions

    def setup(self) -> None:
        """Create the alphas and their Adam; nothing is sampled outside of training."""
        super().setup()
        self._temperature = self.options.temperature
        self._noise: torch.Generator | None = None

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train alphas and weights in turn on sampled mixtures."""
        options = self.options
        progress = epoch / max(1, self.epochs - 1)
        self._temperature = options.temperature + progress * (options.temperature_min - options.temperature)
        seed = int(self.rng(epoch).integers(2**62))
        self._noise = torch.Generator().manual_seed(seed)
        try:
            return super().train_epoch(epoch) | {"temperature": self._temperature}
        finally:
            self._noise = None

    def choice(self, table: Tensor) -> Tensor:
        """A relaxed sample while training, the softmax otherwise: [14, 8] -> [14, 8]."""
        if self._noise is None:
            return super().choice(table)
        gumbel = -torch.empty(table.shape).exponential_(generator=self._noise).log().to(table.device)
        return ((table.log_softmax(dim=-1) + gumbel) / self._temperature).softmax(dim=-1)
