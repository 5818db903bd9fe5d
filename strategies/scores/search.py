"""Search without training: candidates are scored, not trained, in the frame of multi-trial strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from search_spaces.coding import Code
from search_spaces.errors import UserError
from strategies.builtin import EvolutionOptions
from strategies.multitrial import MultiTrialStrategy
from strategies.proposers import Evaluation, Proposer, RegularizedEvolution
from strategies.scores.options import ScoreOptions


def combined(scores: Sequence[Sequence[float]]) -> list[float]:
    """Combine several scores of each network of a set: sum over scores of log(rank / networks).

    The best network of a score has the largest rank, so that one bad rank costs more than one good rank wins
    (AZ-NAS: Lee and Ham, CVPR 2024, equation 9). Equal scores share their mean rank.

    Args:
        scores: [networks, scores], a larger one for better networks.

    Returns:
        One value for each network, at most 0.
    """
    ranks = rankdata(np.asarray(scores), axis=0)
    return [float(value) for value in np.log(ranks / len(ranks)).sum(axis=1)]


class _ByRanks(Proposer):
    """Chooses by the combined ranks of several scores, among the cells that are known at that time.

    Args:
        proposer: proposes cells from evaluations, whose scores here are the combined ranks.
        scores: scores of every cell so far, in the order of proposal.
        *args: arguments of `Proposer`.
    """

    def __init__(self, proposer: Proposer, scores: Sequence[Sequence[float]], *args: Any) -> None:
        super().__init__(*args)
        self._proposer, self._scores = proposer, scores

    def needs(self, index: int) -> int:
        """Number of evaluations that the proposer needs."""
        return self._proposer.needs(index)

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Propose a cell from the combined ranks of those before it."""
        return self._proposer.propose(index, self._ranked(history))

    def best(self, history: Sequence[Evaluation]) -> int:
        """Index of the cell with the best combined rank."""
        return self._proposer.best(self._ranked(history))

    def _ranked(self, history: Sequence[Evaluation]) -> list[Evaluation]:
        if not history:
            return []
        ranks = combined(self._scores[: len(history)])
        return [replace(evaluation, score=rank) for evaluation, rank in zip(history, ranks, strict=True)]


class ScoreSearch(MultiTrialStrategy[ScoreOptions]):
    """The best of many cells by one score of their untrained networks, or by the combined ranks of several.

    The evaluator reports a dict with `default` (the first score) and `scores` (all by name).
    """

    def __init__(self, options: ScoreOptions) -> None:
        super().__init__(options)
        self.scores: list[list[float]] = []

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of uniform draws, or of evolution."""
        proposer = Proposer(*args)
        if self.options.selection == "evolution":
            evolution = EvolutionOptions(
                population=self.options.population,
                tournament=self.options.tournament,
                candidates=self.options.candidates,
            )
            proposer = RegularizedEvolution(
                evolution, 1, *args
            )  # the same cells however many are scored at a time
        return _ByRanks(proposer, self.scores, *args) if len(self.options.scores) > 1 else proposer

    def _entry(self, index: int, code: Code) -> dict[str, Any]:
        metric = self._metrics[index]
        if not isinstance(metric, dict) or "scores" not in metric:
            raise UserError(
                f"the score strategy needs an evaluator that reports scores, not {metric!r}: a dict with "
                "default and scores; random and evolution take any evaluator"
            )
        return {**super()._entry(index, code), "scores": metric["scores"]}

    def _accept(self, code: Code, entry: dict[str, Any]) -> None:
        self.scores.append([entry["scores"][score.name] for score in self.options.scores])
        super()._accept(code, entry)
