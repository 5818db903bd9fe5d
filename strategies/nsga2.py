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
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from search_spaces.coding import Code
from strategies.options import EvolutionOptions
from strategies.proposers import Proposer, Told

ETA = 3
"""Distribution index of the polynomial mutation, as NSGA-Net sets it."""
RETRIES = 100
"""Children bred for one that was not trained before."""


class Nsga2(Proposer):
    """Minimises the error and the mult_adds of the final network.

    Generations of offspring by binary tournament (domination, then crowding), two-point crossover and
    polynomial mutation; the survivors of parents and offspring together are the next parents. A child beyond
    the limit, or trained before, is rejected and bred again.

    Args:
        options: of evolution.
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
        """All generations before its own."""
        generation = self._generation(index)
        return self._begins(generation)

    def propose(self, index: int, told: Sequence[Told]) -> Code:
        """A random architecture for the first generation, then a child."""
        rng = self.rng(index)
        generation = self._generation(index)
        if generation == 0:
            return self.random(rng)
        parents, seen = self._survivors(generation, told), {candidate.code for candidate in told}
        rules = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=rng)

        def child() -> Code:
            for _ in range(RETRIES):
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

    def front(self, told: Sequence[Told]) -> list[int]:
        """The undominated of all candidates, cheapest first; of equal ones the earliest."""
        objectives = self.objectives(told)
        _, first = np.unique(objectives, axis=0, return_index=True)
        best = first[NonDominatedSorting().do(objectives[first], only_non_dominated_front=True)]
        return [int(place) for place in sorted(best, key=lambda place: objectives[place, 1])]

    def best(self, told: Sequence[Told]) -> int:
        """The member of the front with the lowest error, or its knee."""
        if self.options.choose == "lowest_error":
            return super().best(told)
        front = self.front(told)
        return front[knee(self.objectives(told)[front])]

    def objectives(self, told: Sequence[Told]) -> npt.NDArray[np.float64]:
        """Error in percent and mult_adds of each candidate, [n, 2]."""
        return np.array(
            [(100 - candidate.score, self.cost(candidate.code)) for candidate in told], dtype=float
        )

    def _begins(self, generation: int) -> int:
        return (
            0 if generation == 0 else self.options.population_size + (generation - 1) * self.options.offspring
        )

    def _generation(self, index: int) -> int:
        beyond = index - self.options.population_size
        return 0 if beyond < 0 else 1 + beyond // self.options.offspring

    def _survivors(self, generation: int, told: Sequence[Told]) -> Any:
        """The parents of `generation`, with rank and crowding, from all candidates before it."""
        if generation not in self._parents:
            kept = [] if generation == 1 else list(self._survivors(generation - 1, told))
            begin, end = self._begins(generation - 1), self._begins(generation)
            individuals = [
                Individual(X=np.array(candidate.code), F=objectives)
                for candidate, objectives in zip(
                    told[begin:end], self.objectives(told[begin:end]), strict=True
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
    """Place of the knee of a front: farthest below the line between its two ends, both objectives scaled.

    Args:
        objectives: [n, 2], to be minimised, sorted by the second.
    """
    span = np.ptp(objectives, axis=0)
    scaled = (objectives - objectives.min(axis=0)) / np.where(span > 0, span, 1)
    return int(np.argmin(scaled.sum(axis=1)))
