"""Local search: hill climbing over trained candidates (White, Nolen, Savani, UAI 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search_spaces.coding import Code
from strategies.builtin import LocalSearchOptions
from strategies.multitrial import MultiTrialStrategy
from strategies.proposers import Evaluation, Proposer

MAX_ATTEMPTS = 100
"""Draws in search of a cell that was not trained before; the last is taken if all were."""


class HillClimbing(Proposer):
    """Climbs from the best of a few random cells to better neighbours; starts again at a local optimum.

    Neighbours differ in one operation or in one input, come in random order, and are tried once in a search:
    one that was trained before, or is beyond the limit, is left out.

    Args:
        options: options of the local search.
        ahead: number of neighbours that are trained before the search may move; 0: all of them.
        *args: arguments of `Proposer`.
    """

    def __init__(self, options: LocalSearchOptions, ahead: int, *args: Any) -> None:
        super().__init__(*args)
        self.options, self.ahead = options, ahead
        self._proposed: list[Code] = []
        self._needs: list[int] = []
        self._centre: Evaluation | None = None
        self._untried: list[Code] = []

    def needs(self, index: int) -> int:
        """All evaluations before the first candidate of the same batch."""
        return self._needs[index] if index < len(self._needs) else index

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Propose the next candidate of a batch: random cells to start from, or neighbours."""
        if index == len(self._proposed):
            batch = self._next_batch(self.rng(index), history)
            self._proposed += batch
            self._needs += [index] * len(batch)
        return self._proposed[index]

    def _next_batch(self, rng: np.random.Generator, history: Sequence[Evaluation]) -> list[Code]:
        """Move to the best of the last batch if it is better, and choose the cells to try next.

        Args:
            rng: random generator of the batch.
            history: all evaluations so far.
        """
        seen = set(self._proposed)
        if history:
            best = max(history[self._needs[-1] :], key=lambda candidate: candidate.score)
            if self._centre is None or best.score > self._centre.score:
                self._centre, self._untried = best, self._neighbours(best.code, rng, seen)
        if self._untried:
            count = self.ahead or len(self._untried)
            batch, self._untried = self._untried[:count], self._untried[count:]
            return batch
        self._centre, batch = None, []
        for _ in range(self.options.init):
            batch.append(self._new(rng, seen | set(batch)))
        return batch

    def _neighbours(self, code: Code, rng: np.random.Generator, seen: set[Code]) -> list[Code]:
        neighbours = self.coding.neighbours(code)
        shuffled = (neighbours[place] for place in rng.permutation(len(neighbours)))
        return [
            other for other in shuffled if other not in seen and self.context.fits(self.architecture(other))
        ]

    def _new(self, rng: np.random.Generator, seen: set[Code]) -> Code:
        """Draw a cell within the limit that was not trained before, where there is one to be found."""
        for _ in range(MAX_ATTEMPTS):
            code = self.random(rng)
            if code not in seen:
                break
        return code


class LocalSearch(MultiTrialStrategy[LocalSearchOptions]):
    """Local search by training candidates."""

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of the options."""
        options = self.options
        ahead = 0 if options.move == "best" else options.ahead or self.evaluator.workers
        return HillClimbing(options, ahead, *args)
