"""Evolution: for accuracy alone or for accuracy and mult_adds, of trained candidates or of shared weights."""

from __future__ import annotations

from typing import Any

from search_spaces import Genotype
from strategies.multitrial import MultiTrialStrategy
from strategies.options import EvolutionOptions
from strategies.proposers import Proposer, RegularizedEvolution, Told
from strategies.single_path import PathStrategy


def make_proposer(options: EvolutionOptions, workers: int, *args: Any) -> Proposer:
    """The proposer that the options name."""
    if options.selection == "regularized":
        return RegularizedEvolution(options, options.ahead or workers, *args)
    from strategies.nsga2 import Nsga2

    return Nsga2(options, *args)


class Evolution(MultiTrialStrategy[EvolutionOptions]):
    """Each candidate is trained from scratch."""

    def make_proposer(self, *args: Any) -> Proposer:
        """The proposer that the options name."""
        return make_proposer(self.options, self.evaluator.workers, *args)

    def total(self) -> int:
        """As the options say."""
        return self.options.total


class SupernetEvolution(PathStrategy[EvolutionOptions]):
    """Shared weights are trained on uniformly drawn cells, then candidates are scored under them.

    This is single-path one-shot search (Guo et al., ECCV 2020) with the chosen kind of evolution.
    """

    def draw(self, count: int, *purpose: int) -> list[Genotype]:
        """Uniform draws within the limit."""
        return self.uniform(count, *purpose)

    def conclude(self) -> None:
        """Evolve under the trained weights."""
        proposer = make_proposer(
            self.options,
            1,
            self.coding,
            self.evaluator.context,
            self.options.total,
            Genotype.from_sample,
        )
        told: list[Told] = []
        for index in range(proposer.total):
            code = proposer.propose(index, told[: proposer.needs(index)])
            genotype = proposer.architecture(code)
            told.append(Told(code, self.score("evolution", index, genotype)))
            self.evaluator.recorder.advance(self.epochs, index + 1, proposer.total)
        best = told[proposer.best(told)]
        self.result.front = proposer.members(told)
        self.settle(proposer.architecture(best.code), best.score)
