"""Proposers choose the next candidate to train, from the scores so far and the seed alone.

A proposal is a pure function of its index and of the evaluations before it, in the order of their proposal.
So a search that is killed proposes the same candidates again, and it does not matter where a candidate was
trained or when it finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.coding import Code, Coding
from strategies.builtin import EvolutionOptions
from strategies.interfaces import SearchContext
from strategies.result import Member


@dataclass(frozen=True)
class Evaluation:
    """A candidate whose score is known.

    Attributes:
        code: genes of the candidate.
        score: top-1 in percent; 0 where its training diverged.
    """

    code: Code
    score: float


class Proposer:
    """Proposes uniform draws; base of the proposers that learn from scores.

    A subclass overrides `propose`, and `needs` with the number of evaluations that it uses.

    Args:
        coding: genes of the space.
        context: seed and limit of the search; proposals beyond the limit are rejected and drawn again.
        total: number of candidates in all.
        decode: turns an NNI sample of the space into the architecture that `context.mult_adds` counts.
    """

    def __init__(
        self,
        coding: Coding,
        context: SearchContext,
        total: int,
        decode: Callable[[dict[str, Any]], Any],
    ) -> None:
        self.coding, self.context, self.total = coding, context, total
        self._decode = decode
        self._costs: dict[Code, int] = {}

    def needs(self, index: int) -> int:
        """Number of evaluations, from the first, that must be known before candidate `index` is proposed."""
        return 0

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Propose candidate `index`.

        Args:
            index: number of the candidate, from 0.
            history: the first `needs(index)` evaluations.
        """
        return self.random(self.rng(index))

    def front(self, history: Sequence[Evaluation]) -> list[int]:
        """Indices of the Pareto front of accuracy and mult_adds; empty where only accuracy is sought."""
        return []

    def best(self, history: Sequence[Evaluation]) -> int:
        """Index of the candidate to export: the most accurate, the earliest of equals."""
        return max(range(len(history)), key=lambda index: history[index].score)

    def members(self, history: Sequence[Evaluation]) -> list[Member]:
        """The Pareto front, cheapest first; empty where only accuracy is sought."""
        return [
            Member(
                architecture=self.architecture(history[index].code),
                score=history[index].score,
                mult_adds=self.cost(history[index].code),
            )
            for index in self.front(history)
        ]

    def architecture(self, code: Code) -> Any:
        """The architecture of a code."""
        return self._decode(self.coding.sample(code))

    def cost(self, code: Code) -> int:
        """Multiply-adds of a code's final network, per image."""
        if code not in self._costs:
            self._costs[code] = self.context.cost(self.architecture(code))
        return self._costs[code]

    def rng(self, index: int) -> np.random.Generator:
        """Random generator of the draws for one candidate."""
        return np.random.default_rng([self.context.seed, index])

    def random(self, rng: np.random.Generator) -> Code:
        """Draw uniformly within the limit."""
        return self.within_limit(lambda: self.coding.random(rng))

    def within_limit(self, draw: Callable[[], Code]) -> Code:
        """Draw until the limit is met.

        Raises:
            UserError: no draw meets it.
        """
        return self.context.draw_within_limit(draw, self.architecture)


class RegularizedEvolution(Proposer):
    """Ageing evolution (Real et al., AAAI 2019, algorithm 1).

    The best of a tournament among the youngest `population` candidates is mutated in one gene; the oldest
    dies. A mutation beyond the limit is rejected, and the same parent is mutated again.

    Args:
        options: options of the evolution.
        ahead: number of candidates that are proposed before the score of the oldest of them is known.
        *args: arguments of `Proposer`.
    """

    def __init__(self, options: EvolutionOptions, ahead: int, *args: Any) -> None:
        super().__init__(*args)
        self.options, self.ahead = options, ahead

    def needs(self, index: int) -> int:
        """All evaluations but those of the candidates in training; none for the first population.

        A parent takes at least one, however many candidates are in training.
        """
        return max(1, index - self.ahead + 1) if index >= self.options.population_size else 0

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Draw a random candidate for the first population, mutate a parent after it."""
        rng, size = self.rng(index), self.options.population_size
        if index < size:
            return self.random(rng)
        alive = history[-size:]
        tournament = rng.choice(len(alive), min(self.options.tournament, len(alive)), replace=False)
        parent = max((alive[place] for place in sorted(tournament)), key=lambda candidate: candidate.score)
        return self.within_limit(lambda: self.coding.mutated(parent.code, rng))
