"""Perturbed weights of the candidates for the step of the weights (Chen and Hsieh, ICML 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Rows = dict[str, Tensor]
"""Weights of the candidates on every edge, before those of edges, [14, 8] per kind of cell."""

ATTACK_STEPS = 7
"""Steps of the attack, each of 2/7 of the radius."""


def radius(epoch: int, epochs: int, first: float, last: float) -> float:
    """The radius of an epoch: it grows linearly from `first`, and would reach `last` after the last epoch."""
    return first + (last - first) * epoch / epochs


def _noise(rows: Rows, size: float, generator: torch.Generator) -> Rows:
    """The rows with uniform noise of at most `size`."""
    return {
        kind: row + torch.empty(row.shape).uniform_(-size, size, generator=generator).to(row)
        for kind, row in rows.items()
    }


def _clipped(rows: Rows, kept: Rows) -> Rows:
    """Bring rows back to weights from 0 to 1 that add up to 1, without candidates that are not kept."""
    clipped = {}
    for kind, row in rows.items():
        inside = (row * kept[kind] if kept else row).clamp(0, 1)
        largest = one_hot(row.argmax(dim=-1), row.shape[-1]).to(row)
        inside = torch.where(inside.sum(dim=-1, keepdim=True) == 0, largest, inside)
        clipped[kind] = inside / inside.sum(dim=-1, keepdim=True)
    return clipped


def random(rows: Rows, kept: Rows, size: float, generator: torch.Generator) -> Rows:
    """Perturb by uniform noise of at most `size`, within the simplex (SDARTS-RS)."""
    return _clipped(_noise(rows, size, generator), kept)


def adversarial(
    rows: Rows,
    kept: Rows,
    size: float,
    generator: torch.Generator,
    loss: Callable[[Rows], Tensor],
    gradient: Callable[[Rows], Rows],
) -> Rows:
    """Look within `size` for weights of a large training loss, by signs of its gradient (SDARTS-ADV).

    Args:
        rows: the weights, without gradient.
        kept: which candidates there are, [14, 8] of zeros and ones; empty: all.
        size: largest change of a weight before it is brought back to the simplex.
        generator: random generator of the start.
        loss: the training loss with other weights, [].
        gradient: the gradient of that loss with respect to the weights.

    Returns:
        The weights found; those given if their loss is larger.
    """
    found = _clipped(_noise(rows, size, generator), kept)
    for _ in range(ATTACK_STEPS):
        slopes = gradient(found)
        steps = {kind: found[kind] + 2 * size / ATTACK_STEPS * slopes[kind].sign() for kind in rows}
        inside = {kind: rows[kind] + (steps[kind] - rows[kind]).clamp(-size, size) for kind in rows}
        found = _clipped(inside, kept)
    is_worse = loss(rows) > loss(found)  # stays on the device, for which no step should wait
    return {kind: torch.where(is_worse, row, found[kind]) for kind, row in rows.items()}
