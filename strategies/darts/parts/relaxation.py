"""How a table of alphas becomes weights of the candidates, one row an edge."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet
from torch.nn.functional import elu, one_hot, pad

from strategies.darts.options import DartsOptions


class Relaxation:
    """Softmax over the candidates of each edge (Liu, Simonyan, Yang, ICLR 2019); base of the others.

    Attributes:
        temperature: temperature of the samples, set for every epoch.
    """

    def __init__(self, options: DartsOptions) -> None:
        self.options = options
        self.temperature = options.temperature

    def sample(self, table: Tensor, kept: Tensor | None, generator: torch.Generator) -> Tensor:
        """Weights for one step of training.

        Args:
            table: alphas, [14, 8].
            kept: which candidates there are, bool [14, 8]; None: all.
            generator: random generator on the CPU.
        """
        return self.expected(table, kept)

    def expected(self, table: Tensor, kept: Tensor | None) -> Tensor:
        """Weights from which a genotype is derived, [14, 8]; arguments as in `sample`."""
        return _only(table, kept).softmax(dim=-1)

    def validated(self, expected: Tensor) -> Tensor:
        """Weights with which the supernet is validated, from those of `expected`."""
        return expected


def _only(table: Tensor, kept: Tensor | None) -> Tensor:
    return table if kept is None else table.masked_fill(~kept, -torch.inf)


class Gumbel(Relaxation):
    """Samples of the Gumbel-softmax, all candidates of which are computed (Xie et al., ICLR 2019)."""

    def sample(self, table: Tensor, kept: Tensor | None, generator: torch.Generator) -> Tensor:
        """A relaxed sample: softmax of logarithmic probabilities and Gumbel noise, over the temperature."""
        noise = -torch.empty(table.shape).exponential_(generator=generator).log().to(table.device)
        return ((_only(table, kept).log_softmax(dim=-1) + noise) / self.temperature).softmax(dim=-1)


class HardGumbel(Gumbel):
    """One candidate an edge, by Gumbel's maximum, with a straight-through gradient (Dong, Yang, CVPR 2019).

    Only the drawn candidate is computed, so that the gradient reaches the alphas through its weight alone.
    """

    def sample(self, table: Tensor, kept: Tensor | None, generator: torch.Generator) -> Tensor:
        """A sample of zeros and ones, with the gradient of the relaxed one at the ones."""
        soft = super().sample(table, kept, generator)
        return _largest(soft) * (1 + soft - soft.detach())

    def validated(self, expected: Tensor) -> Tensor:
        """The most probable candidate of each edge: the supernet is trained on one at a time."""
        return _largest(expected)


def _largest(weights: Tensor) -> Tensor:
    return one_hot(weights.argmax(dim=-1), weights.shape[-1]).to(weights.dtype)


class DirichletSample(Relaxation):
    """Samples of a Dirichlet distribution of concentration elu(alpha) + 1 (Chen et al., ICLR 2021).

    The gradient reaches the alphas through the samples. Candidates that were pruned are drawn as well, and
    the others divided by their sum, which is a sample of the smaller distribution.
    """

    def sample(self, table: Tensor, kept: Tensor | None, generator: torch.Generator) -> Tensor:
        """A sample of each edge."""
        first = 0 if self.options.none else 1
        concentration = elu(table[:, first:]) + 1
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator.get_state())
            drawn = Dirichlet(concentration.cpu()).rsample().to(table.device)
            generator.set_state(torch.get_rng_state())
        weights = pad(drawn, (first, 0))
        if kept is None:
            return weights
        return weights * kept / (weights * kept).sum(dim=-1, keepdim=True)


class Sigmoid(Relaxation):
    """A sigmoid of each alpha: candidates do not compete (Chu et al., ECCV 2020)."""

    def expected(self, table: Tensor, kept: Tensor | None) -> Tensor:
        """The sigmoids."""
        return table.sigmoid() if kept is None else table.sigmoid() * kept


RELAXATIONS = {
    "softmax": Relaxation,
    "gumbel": Gumbel,
    "gumbel-hard": HardGumbel,
    "dirichlet": DirichletSample,
    "sigmoid": Sigmoid,
}
"""Relaxations by the value of the option."""
