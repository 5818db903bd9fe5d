"""Searching by a mixture: every edge runs every candidate, weighted by what the strategy learns."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import Genotype
from search_spaces.cells.mixed import MixedCell, SearchCell
from search_spaces.genotype import KINDS
from search_spaces.nni_api import no_default_hook
from search_spaces.sizes import CellCosts
from strategies.projection import heaviest
from strategies.supernet import OptionsT, Standing, SupernetStrategy

Mixture = dict[str, Tensor]
"""Weights [14, 8] of the candidates on every edge, for `normal` and `reduce` cells."""


class MixtureStrategy(SupernetStrategy[OptionsT]):
    """Base of the strategies that weigh all candidates of all edges and learn the weights by gradient.

    A limit on mult_adds does not touch the search: the mixture is projected on it when it is read.
    """

    @abstractmethod
    def mixture(self) -> Mixture:
        """The weights of every candidate as they stand."""

    def default_mutation_hooks(self) -> list[Any]:
        """The plain search-time cell, and NNI's guard against cells that no hook has replaced."""
        return [MixedCell.mutate, no_default_hook]

    def mix(self, mixture: Mixture) -> None:
        """Set the weights that the supernet's cells use from now on."""
        for cell in cast(Iterable[SearchCell], self.supernet.cells):
            cell.weights = mixture[cell.geometry.kind]

    def samples_of(self, epoch: int) -> int:
        """A pass over the weights half, with as many batches of the alphas half."""
        weights, alphas = self.evaluator.weights, self.evaluator.alphas
        passes, rest = divmod(len(weights), len(alphas))
        return weights.samples + passes * alphas.samples + rest * alphas.batch_size

    def stand(self, epoch: int) -> Standing:
        """The cells that the mixture stands for, and the mixture's own figures."""
        mixture = self.mixture()
        self.mix(mixture)
        figures = self.validate()
        normal, reduce = (mixture[kind].cpu().numpy() for kind in KINDS)
        genotype = Genotype.from_mixture(normal, reduce)
        context = self.evaluator.context
        if not context.fits(genotype):
            assert isinstance(context.mult_adds, CellCosts) and context.max_mult_adds is not None
            genotype = heaviest(normal, reduce, context.mult_adds, context.max_mult_adds)
        return Standing(genotype, figures, {kind: weights.tolist() for kind, weights in mixture.items()})

    def paired_batches(self, epoch: int) -> Iterator[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        """A batch of the weights half with one of the alphas half, which starts over when it runs out."""
        weights, alphas = self.evaluator.weights, self.evaluator.alphas
        again = itertools.chain.from_iterable(iter(alphas) for _ in itertools.count())
        for done, pair in enumerate(zip(weights, again, strict=False), start=1):
            yield pair
            self.evaluator.recorder.advance(epoch, done, len(weights))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss and top-1 of the supernet on the validation batches, under the mixture that is set."""
        self.supernet.eval()
        average = self.average()
        for images, labels in self.evaluator.validation:
            logits = self.supernet(images)
            average.add(cross_entropy(logits, labels), logits, labels)
        return average.figures()
