"""Searching by a mixture: every edge runs every candidate operation, weighted by what the strategy learns."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces.model_space import SearchTimeCell
from strategies.derivation import derive
from strategies.meters import Meter
from strategies.supernet import OptionsT, Snapshot, SupernetStrategy

Batch = tuple[Tensor, Tensor]
"""Images float [B, 3, H, W] and labels int64 [B]."""

Mixture = dict[str, Tensor]
"""Weights of the candidates on every edge, [edges, candidates] for each kind of cell."""


class MixtureStrategy(SupernetStrategy[OptionsT]):
    """Base of the strategies that weigh all candidates of all edges and learn the weights by gradient.

    A limit on multiply-adds does not affect the search: the mixture is projected to it when a genotype is
    derived.

    Attributes:
        max_skips: largest number of skips in the normal cell, or the only kind of cell, of a derived
            genotype; None: any.
    """

    max_skips: int | None = None

    @abstractmethod
    def mixture(self) -> Mixture:
        """Current weights of the candidates, [edges, candidates] per kind of cell."""

    def search_cell(self, cell: Any) -> SearchTimeCell:
        """The plain cell that adds up all candidates."""
        return self.space.mixed_cell(cell)

    def set_mixture(self, mixture: Mixture) -> None:
        """Set the weights that the supernet's cells use from now on, as `mixture` returns them."""
        for cell in cast(Iterable[SearchTimeCell], self.supernet.cells):
            cell.weights = mixture[cell.geometry.kind]

    def training_images(self, epoch: int) -> int:
        """Images of the weight split, and of as many batches of the alpha split."""
        weights, alphas = self.evaluator.weights, self.evaluator.alphas
        passes, rest = divmod(len(weights), len(alphas))
        return weights.samples + passes * alphas.samples + rest * alphas.batch_size

    def derive(self, epoch: int) -> Snapshot:
        """Validate the mixture, if it is time, and derive the genotype within the limit from it."""
        mixture, metrics = self.mixture(), {}
        if self.validates:
            self.set_mixture(self.validation_mixture(mixture))
            metrics = self.validate()
        tables = {kind: weights.cpu().numpy() for kind, weights in mixture.items()}
        genotype = derive(tables, self.space, self.evaluator.context, self.max_skips)
        return Snapshot(genotype, metrics, {kind: weights.tolist() for kind, weights in mixture.items()})

    def validation_mixture(self, mixture: Mixture) -> Mixture:
        """The weights with which the supernet is validated, from those that the genotype is derived from."""
        return mixture

    def paired_batches(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """Each batch of the weight split with one of the alpha split, which restarts when it runs out."""
        weights, alphas = self.evaluator.weights, self.evaluator.alphas
        repeated_alphas = itertools.chain.from_iterable(iter(alphas) for _ in itertools.count())
        for done, pair in enumerate(zip(weights, repeated_alphas, strict=False), start=1):
            yield pair
            self.evaluator.recorder.advance(epoch, done, len(weights))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss and top-1 in percent of the supernet on the validation batches, under the current mixture."""
        self.supernet.eval()
        return self.pass_validation().loss_and_top1()

    def pass_validation(self) -> Meter:
        """Pass the validation batches through the supernet, in its mode, under the current mixture."""
        meter = self.meter()
        for images, labels in self.evaluator.validation:
            logits = self.supernet(images)
            self.count_forward(labels)
            meter.add(cross_entropy(logits, labels), logits, labels)
        return meter
