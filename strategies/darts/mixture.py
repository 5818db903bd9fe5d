"""Weights of the candidates, made of the alphas: drawn while training, else as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor

from search_spaces.model_space import SearchTimeCell
from strategies.darts.parts.perturbation import Rows
from strategies.darts.parts.relaxation import RELAXATIONS
from strategies.darts.parts.selection import Selection
from strategies.darts.stages import StagedStrategy
from strategies.mixture import Mixture


class AlphaMixture(StagedStrategy):
    """What makes weights of the candidates of the alphas, as the options say.

    Attributes:
        relaxation: how the alphas become weights of the candidates.
    """

    def setup(self) -> None:
        """Create the alphas and their relaxation, and the choices of a projection, if there is one."""
        super().setup()
        options = self.options
        self.relaxation = RELAXATIONS[options.relaxation](options)
        self._generator: torch.Generator | None = None
        self._selection = (
            Selection(self.evaluator.context, self.space) if options.derivation == "projection" else None
        )

    def mixture(self) -> Mixture:
        """Weights of the candidates, [edges, candidates] each: drawn while training, else as they are."""
        return self._mixture_of(self._rows())

    def _rows(self) -> Rows:
        """Weights of the candidates, before those of edges."""
        rows, generator = {}, self._generator
        for kind in self.space.kinds:
            kept = self.kept.get(kind)
            if generator is None:
                rows[kind] = self.relaxation.expected(self.alphas[kind], kept)
            else:
                rows[kind] = self._dropped(self.relaxation.sample(self.alphas[kind], kept, generator))
        return rows

    def _dropped(self, row: Tensor) -> Tensor:
        """Leave candidates out at random; the others keep the sum of an edge's weights."""
        rate = self.options.operation_dropout
        if not rate:
            return row
        stays = torch.empty(row.shape).bernoulli_(1 - rate, generator=self._generator).to(row)
        left = (row * stays).sum(dim=-1, keepdim=True)
        stays = torch.where(left > 0, stays, torch.ones_like(stays))
        return (
            row * stays * (row.sum(dim=-1, keepdim=True) / (row * stays).sum(dim=-1, keepdim=True)).detach()
        )

    def _mixture_of(self, rows: Rows) -> Mixture:
        """The rows times the softmax of the edges' weights over the edges into a node, if there are any."""
        mixture = self._selection.applied(rows) if self._selection else dict(rows)
        if self.options.has_edge_weights:
            for kind in self.space.kinds:
                nodes = torch.split(
                    self.alphas[f"{kind}/edges"], [node.edges for node in self.space.node_inputs]
                )
                mixture[kind] = mixture[kind] * torch.cat([node.softmax(dim=0) for node in nodes])[:, None]
        return mixture

    def validation_mixture(self, mixture: Mixture) -> Mixture:
        """The weights with which the supernet is validated; each edge keeps its own."""
        validated = {kind: self.relaxation.validated(weights) for kind, weights in mixture.items()}
        if self.options.has_edge_weights and self.options.relaxation == "gumbel-hard":
            return {kind: row * mixture[kind].sum(dim=-1, keepdim=True) for kind, row in validated.items()}
        return validated

    def set_mixture(self, mixture: Mixture) -> None:
        """Set the weights that the supernet's cells use from now on, and which candidates they compute."""
        super().set_mixture(mixture)
        if self.options.is_sparse or not self.space.is_complete:
            computed = {kind: (weights != 0).tolist() for kind, weights in mixture.items()}
            for cell in cast(Iterable[SearchTimeCell], self.supernet.cells):
                cell.computed = computed[cell.geometry.kind]

    def set_temperature(self, epoch: int) -> dict[str, float]:
        """Set the temperature of an epoch; returns it as a metric where it matters."""
        options = self.options
        if not options.relaxation.startswith("gumbel"):
            return {}
        progress = min(1.0, epoch / max(1, self.search_epochs - 1))
        temperature = options.temperature + progress * (options.temperature_min - options.temperature)
        self.relaxation.temperature = temperature
        return {"temperature": temperature}
