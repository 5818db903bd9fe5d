"""Stopping the training of single operations early: OLES (Jiang et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from search_spaces import Space


class Freezing:
    """Freezes the weights of an operation whose gradients on the two splits disagree for long.

    A check compares the gradient of the last step of the weights with the sum of it and the validation
    gradient, channel by channel. The paper compares it with the validation gradient alone; the authors' code,
    to which the published threshold belongs, adds the two up, since it does not reset gradients between the
    steps (github.com/PasaLab/oles, train_search.py, lines 156 to 225). That code divides the sum of 21 checks
    by 20; here, as in the paper, a mean is one of `checks` checks.

    Args:
        supernet: supernet with search-time cells.
        space: the search space.
        below: mean similarity below which an operation is frozen.
        checks: number of checks over which it is averaged.

    Attributes:
        frozen: whether each operation is frozen, in the order of cells, edges and candidates.
    """

    def __init__(self, supernet: Any, space: Space, below: float, checks: int) -> None:
        numbers = {id(weight): number for number, weight in enumerate(supernet.parameters())}
        self._below, self._checks = below, checks
        self._device = next(supernet.parameters()).device
        self._operations = [
            [numbers[id(weight)] for weight in candidate.parameters()]
            for cell in supernet.cells
            for mixed in cell.operations()
            for name, candidate in zip(space.candidates[1:], mixed.candidates, strict=True)
            if "conv" in name
        ]
        count = len(self._operations)
        self._sums, self._counts = torch.zeros(count, dtype=torch.float64), torch.zeros(count)
        self.frozen = torch.zeros(count, dtype=torch.bool)
        self._training: list[Tensor | None] = []

    def without_frozen(self, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the weights, without those of frozen operations."""
        left = list(grads)
        for operation, is_frozen in zip(self._operations, self.frozen.tolist(), strict=True):
            for weight in operation if is_frozen else []:
                left[weight] = None
        return left

    def after_step(self, grads: Sequence[Tensor | None]) -> None:
        """Note the clipped gradients of a step of the weights."""
        self._training = [None if grad is None else grad.clone() for grad in grads]

    def check(self, validation: Sequence[Tensor | None]) -> None:
        """Compare the gradients of a step of the alphas with those noted, and freeze what is due."""
        for index, operation in enumerate(self._operations):
            pairs = [(self._training[weight], validation[weight]) for weight in operation if self._training]
            similar = [
                float(cosine_similarity(one + other, one, dim=0).mean())
                for one, other in pairs
                if one is not None and other is not None
            ]
            if not similar or self.frozen[index]:
                continue
            self._sums[index] += sum(similar) / len(similar)
            self._counts[index] += 1
            if self._counts[index] == self._checks:
                self.frozen[index] = self._sums[index] / self._checks < self._below
                self._sums[index] = self._counts[index] = 0

    def state_dict(self) -> dict[str, Any]:
        """Sums, numbers of checks, what is frozen, and the gradient of the last step of the weights."""
        sums = {"sums": self._sums, "counts": self._counts, "frozen": self.frozen}
        return {**sums, "training": self._training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._sums, self._counts, self.frozen = (state[name].clone() for name in ("sums", "counts", "frozen"))
        self._training = [None if grad is None else grad.to(self._device) for grad in state["training"]]
