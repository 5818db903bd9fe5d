"""Evolution for accuracy, or for accuracy and mult_adds, of trained candidates or under shared weights."""

from __future__ import annotations

from typing import Any

from search_spaces import AbstractGenotype
from strategies.builtin import EvolutionOptions
from strategies.multitrial import MultiTrialStrategy
from strategies.proposers import Evaluation, Proposer, RegularizedEvolution
from strategies.single_path import PathStrategy


def make_proposer(options: EvolutionOptions, concurrency: int, *args: Any) -> Proposer:
    """Create the proposer of `options.selection`.

    Args:
        options: options of the evolution.
        concurrency: number of candidates trained at a time.
        *args: arguments of `Proposer`.
    """
    if options.selection == "regularized":
        return RegularizedEvolution(options, options.ahead or concurrency, *args)
    from strategies.nsga2 import Nsga2  # pymoo takes a second to import

    return Nsga2(options, *args)


class Evolution(MultiTrialStrategy[EvolutionOptions]):
    """Evolution of candidates that are trained from scratch."""

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of the options."""
        return make_proposer(self.options, self.evaluator.workers, *args)


class SupernetEvolution(PathStrategy[EvolutionOptions]):
    """Evolution of cells that are scored under shared weights, which uniformly drawn cells have trained.

    This is single-path one-shot search (Guo et al., ECCV 2020) with a choice of evolution.
    """

    def draw(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Draw cells uniformly within the limit."""
        return self.uniform(count, *purpose)

    def select_final(self) -> None:
        """Evolve cells under the trained weights."""
        proposer = make_proposer(
            self.options,
            1,
            self.coding,
            self.evaluator.context,
            self.options.total,
            self.space.from_sample,
        )
        history: list[Evaluation] = []
        for index in range(proposer.total):
            if history and self.is_out_of_time:
                break
            code = proposer.propose(index, history[: proposer.needs(index)])
            genotype = proposer.architecture(code)
            history.append(Evaluation(code, self.score("evolution", index, genotype)))
            self.evaluator.recorder.advance(self.epochs, index + 1, proposer.total)
        best = history[proposer.best(history)]
        self.result.front = proposer.members(history)
        self.set_incumbent(proposer.architecture(best.code), best.score)
