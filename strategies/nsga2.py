"""NSGA-Net: evolution of accuracy and cost together (Lu et al., GECCO 2019), on pymoo's operators."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from search_spaces.coding import Code
from search_spaces.pareto import pareto_front
from strategies.builtin import EvolutionOptions
from strategies.proposers import Evaluation, Proposer

ETA = 3
"""Distribution index of the polynomial mutation, as NSGA-Net sets it."""
MAX_ATTEMPTS = 100
"""Children bred in search of one that was not trained before; the last is taken if all were."""


class Nsga2(Proposer):
    """Minimises the error and the multiply-adds of the final network.

    Generations of offspring come from binary tournaments (domination, then crowding), two-point crossover and
    polynomial mutation; the survivors of parents and offspring together are the next parents. A child that is
    beyond the limit, or was trained before, is rejected and bred again.

    Args:
        options: options of the evolution.
        *args: arguments of `Proposer`.
    """

    def __init__(self, options: EvolutionOptions, *args: Any) -> None:
        super().__init__(*args)
        self.options = options
        sizes = np.array(self.coding.sizes)
        self._problem = Problem(n_var=len(sizes), n_obj=2, xl=np.zeros(len(sizes)), xu=sizes - 1, vtype=int)
        self._selection = TournamentSelection(func_comp=binary_tournament)
        self._crossover = TwoPointCrossover(repair=RoundingRepair())
        self._mutation = PolynomialMutation(prob=1.0, eta=ETA, repair=RoundingRepair())
        self._parents: dict[int, Any] = {}

    def needs(self, index: int) -> int:
        """All candidates of earlier generations."""
        return self._first_index(self._generation(index))

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Draw a random candidate for the first generation, breed a child after it."""
        rng = self.rng(index)
        generation = self._generation(index)
        if generation == 0:
            return self.random(rng)
        parents, seen = self._survivors(generation, history), {candidate.code for candidate in history}
        rules = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=rng)

        def child() -> Code:
            for _ in range(MAX_ATTEMPTS):
                pair = self._selection.do(
                    self._problem, parents, 1, n_parents=2, random_state=rng, algorithm=rules
                )
                bred = self._crossover.do(self._problem, pair, random_state=rng)
                bred = self._mutation.do(self._problem, bred, random_state=rng)
                code: Code = tuple(int(value) for value in bred.get("X")[0])
                if code not in seen:
                    break
            return code

        return self.within_limit(child)

    def front(self, history: Sequence[Evaluation]) -> list[int]:
        """Indices of the Pareto front of all candidates, cheapest first; of equal ones the earliest."""
        objectives = self.objectives(history)
        _, earliest = np.unique(objectives, axis=0, return_index=True)
        front = earliest[pareto_front(objectives[earliest])]
        return [int(index) for index in sorted(front, key=lambda index: objectives[index, 1])]

    def best(self, history: Sequence[Evaluation]) -> int:
        """Index of the candidate with the lowest error, or of the knee of the front."""
        if self.options.choose == "lowest_error":
            return super().best(history)
        front = self.front(history)
        return front[knee(self.objectives(history)[front])]

    def objectives(self, history: Sequence[Evaluation]) -> npt.NDArray[np.float64]:
        """Error in percent and multiply-adds per image of each candidate, float64 [n, 2]."""
        return np.array(
            [(100 - candidate.score, self.cost(candidate.code)) for candidate in history], dtype=float
        )

    def _first_index(self, generation: int) -> int:
        """Index of the first candidate of a generation."""
        if generation == 0:
            return 0
        return self.options.population_size + (generation - 1) * self.options.offspring

    def _generation(self, index: int) -> int:
        beyond = index - self.options.population_size
        return 0 if beyond < 0 else 1 + beyond // self.options.offspring

    def _survivors(self, generation: int, history: Sequence[Evaluation]) -> Any:
        """Parents of `generation`, with rank and crowding, from all candidates of earlier generations."""
        if generation not in self._parents:
            kept = [] if generation == 1 else list(self._survivors(generation - 1, history))
            first, end = self._first_index(generation - 1), self._first_index(generation)
            individuals = [
                Individual(X=np.array(candidate.code), F=objectives)
                for candidate, objectives in zip(
                    history[first:end], self.objectives(history[first:end]), strict=True
                )
            ]
            merged = Population.create(*kept, *individuals)
            size = self.options.population_size
            self._parents = {
                generation: RankAndCrowding().do(
                    self._problem, merged, n_survive=size, random_state=self.rng(end)
                )
            }
        return self._parents[generation]


def knee(objectives: npt.NDArray[np.float64]) -> int:
    """Index of the knee of a Pareto front: the point farthest below the line between its two ends.

    Both objectives are scaled to [0, 1] first, so that the distance to the line is the same as the sum of the
    two up to constants (Das, Structural Optimization 18, 1999).

    Args:
        objectives: points of the front, to be minimised, [n, 2], sorted by the second objective.
    """
    span = np.ptp(objectives, axis=0)
    scaled = (objectives - objectives.min(axis=0)) / np.where(span > 0, span, 1)
    return int(np.argmin(scaled.sum(axis=1)))
