"""DARTS: differentiable architecture search (Liu, Simonyan, Yang, ICLR 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces.genotype import CANDIDATES, EDGES, KINDS
from strategies.mixture import Mixture, MixtureStrategy
from strategies.options import DartsOptions
from strategies.supernet import Average


class Darts(MixtureStrategy[DartsOptions]):
    """First-order DARTS.

    Every step updates the alphas by the gradient of the validation loss at the current weights, then the
    weights by that of the training loss. The alphas start at 1e-3 times a standard normal draw.
    """

    alphas: dict[str, nn.Parameter]

    def start(self) -> None:
        """The alphas, one table for each kind of cell, and their Adam."""
        device = self.evaluator.device
        self.alphas = {
            kind: nn.Parameter(1e-3 * torch.randn(EDGES, len(CANDIDATES)).to(device)) for kind in KINDS
        }
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas.values(),
            self.options.alpha_learning_rate,
            betas=(0.5, 0.999),
            weight_decay=self.options.alpha_weight_decay,
        )

    def mixture(self) -> Mixture:
        """Softmax of the alphas, edge by edge."""
        return {kind: table.softmax(dim=-1) for kind, table in self.alphas.items()}

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Alphas and weights in turn, batch by batch."""
        average = Average()
        for (images, labels), validation in self.paired_batches(epoch):
            self.alpha_step(*validation)
            with torch.no_grad():
                self.mix(self.mixture())
            loss, logits = self.weight_step(images, labels)
            average.add(loss, logits, labels)
        return average.figures()

    def alpha_step(self, images: Tensor, labels: Tensor) -> None:
        """One step of Adam on the alphas by the loss on a batch of the alphas half."""
        self.mix(self.mixture())
        loss = cross_entropy(self.supernet(images), labels)
        tables = list(self.alphas.values())
        for table, gradient in zip(
            tables, torch.autograd.grad(loss, tables, materialize_grads=True), strict=True
        ):
            table.grad = gradient
        self.alpha_optimizer.step()
        self.result.samples += len(labels)

    def own_state(self) -> dict[str, Any]:
        """Alphas and their Adam."""
        alphas = {kind: table.detach() for kind, table in self.alphas.items()}
        return {"alphas": alphas, "alpha_optimizer": self.alpha_optimizer.state_dict()}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Alphas and their Adam."""
        for kind, table in self.alphas.items():
            table.data.copy_(state["alphas"][kind])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
