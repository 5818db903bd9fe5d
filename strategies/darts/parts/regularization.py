"""Terms that the loss of the alphas gets besides the validation loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from strategies.darts.options import DartsOptions


def penalty(
    options: DartsOptions, alphas: Mapping[str, Tensor], kept: Mapping[str, Tensor], epoch: int
) -> Tensor | None:
    """The term of the options, []; None where there is none.

    Args:
        options: options of the strategy.
        alphas: table [edges, candidates] of each kind of cell.
        kept: which candidates there are, bool [edges, candidates] for each; empty: all.
        epoch: number of the epoch, from 0.
    """
    if options.regularization == "none":
        return None
    tables = torch.cat(list(alphas.values()))
    mask = torch.cat([kept[kind] for kind in alphas]) if kept else torch.ones_like(tables, dtype=torch.bool)
    return options.regularization_weight * TERMS[options.regularization](tables, mask, options, epoch)


def _beta(tables: Tensor, kept: Tensor, options: DartsOptions, epoch: int) -> Tensor:
    """Mean over edges of logsumexp, times the epoch (Ye et al., CVPR 2022, equation 14)."""
    return epoch * tables.masked_fill(~kept, -torch.inf).logsumexp(dim=-1).mean()


def _zero_one(tables: Tensor, kept: Tensor, options: DartsOptions, epoch: int) -> Tensor:
    """The negative mean square of sigmoids around 1/2 (Chu et al., ECCV 2020, equation 5)."""
    return -_sum((tables.sigmoid() - 0.5).square(), kept) / kept.sum()


def _l2(tables: Tensor, kept: Tensor, options: DartsOptions, epoch: int) -> Tensor:
    """Half the sum of squares around the target, whose gradient is that of a weight decay towards it."""
    return _sum((tables - options.regularization_target).square(), kept) / 2


def _sum(values: Tensor, kept: Tensor) -> Tensor:
    """The sum of those that are kept; to select them, the step would wait for their number."""
    return torch.where(kept, values, 0.0).sum()


TERMS: dict[str, Callable[[Tensor, Tensor, DartsOptions, int], Tensor]] = {
    "beta": _beta,
    "zero-one": _zero_one,
    "l2": _l2,
}
"""Regularizations by the value of the option, before their weight."""
