"""Who proposes the next architecture to train, from the scores so far and the seed alone.

A proposal is a pure function of its number and of the candidates that were told before it, in the order in
which they were proposed. So a search that is killed proposes again what it had proposed, and where a
candidate was trained, or when it finished, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.coding import Code, Coding
from strategies.interfaces import SearchContext
from strategies.options import EvolutionOptions
from strategies.result import Member


@dataclass(frozen=True)
class Told:
    """A candidate whose score is known.

    Attributes:
        code: its genes.
        score: top-1 in percent.
    """

    code: Code
    score: float


class Proposer:
    """Uniform draws; base of those that learn from the scores.

    Args:
        coding: of the space.
        context: of the search; proposals beyond its limit are rejected and drawn again.
        total: candidates in all.
        architecture: what an NNI sample of the space stands for, as `context.mult_adds` takes it.
    """

    def __init__(
        self,
        coding: Coding,
        context: SearchContext,
        total: int,
        architecture: Callable[[dict[str, Any]], Any],
    ) -> None:
        self.coding, self.context, self.total = coding, context, total
        self._architecture = architecture
        self._costs: dict[Code, int] = {}

    def needs(self, index: int) -> int:
        """How many candidates, from the first, must be told before candidate `index` is proposed."""
        return 0

    def propose(self, index: int, told: Sequence[Told]) -> Code:
        """Candidate `index`, from the first `needs(index)` candidates."""
        return self.random(self.rng(index))

    def front(self, told: Sequence[Told]) -> list[int]:
        """Places of those that no other beats in both accuracy and mult_adds; empty where one is sought."""
        return []

    def best(self, told: Sequence[Told]) -> int:
        """Place of the candidate to keep: the most accurate, the earliest of equals."""
        return max(range(len(told)), key=lambda place: told[place].score)

    def members(self, told: Sequence[Told]) -> list[Member]:
        """The front, cheapest first; empty where only accuracy is sought."""
        return [
            Member(self.architecture(told[place].code), told[place].score, self.cost(told[place].code))
            for place in self.front(told)
        ]

    def architecture(self, code: Code) -> Any:
        """The architecture of a code."""
        return self._architecture(self.coding.sample(code))

    def cost(self, code: Code) -> int:
        """Mult_adds of a code's final network."""
        if code not in self._costs:
            self._costs[code] = self.context.cost(self.architecture(code))
        return self._costs[code]

    def rng(self, index: int) -> np.random.Generator:
        """The generator of one candidate's draws."""
        return np.random.default_rng([self.context.seed, index])

    def random(self, rng: np.random.Generator) -> Code:
        """A uniform draw within the limit."""
        return self.within_limit(lambda: self.coding.random(rng))

    def within_limit(self, draw: Callable[[], Code]) -> Code:
        """Draw until the limit is kept."""
        return self.context.first_fit(draw, self.architecture)


class RegularizedEvolution(Proposer):
    """Ageing evolution (Real et al., AAAI 2019, algorithm 1).

    The best of a tournament among the youngest `population` candidates is mutated in one place; the oldest
    dies. A mutation beyond the limit is rejected, and another one of the same parent drawn.

    Args:
        options: of evolution.
        ahead: candidates that are proposed before the score of the oldest of them is known.
    """

    def __init__(self, options: EvolutionOptions, ahead: int, *args: Any) -> None:
        super().__init__(*args)
        self.options, self.ahead = options, ahead

    def needs(self, index: int) -> int:
        """All but those that are being trained; none for the first population."""
        return max(0, index - self.ahead + 1) if index >= self.options.population_size else 0

    def propose(self, index: int, told: Sequence[Told]) -> Code:
        """A random architecture for the first population, then a mutation."""
        rng, size = self.rng(index), self.options.population_size
        if index < size:
            return self.random(rng)
        alive = told[-size:]
        tournament = rng.choice(len(alive), min(self.options.tournament, len(alive)), replace=False)
        parent = max((alive[place] for place in sorted(tournament)), key=lambda candidate: candidate.score)
        return self.within_limit(lambda: self.coding.mutated(parent.code, rng))
