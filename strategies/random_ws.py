"""Random search with weight sharing (Li and Talwalkar, UAI 2019)."""

from __future__ import annotations

from search_spaces import AbstractGenotype
from strategies.builtin import RandomWsOptions
from strategies.single_path import PathStrategy


class RandomWs(PathStrategy[RandomWsOptions]):
    """One uniformly drawn cell per batch; in the end the best of many cells under the shared weights.

    Candidates are screened on a few validation batches, and the best of them are scored on all.
    """

    def draw(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Draw cells uniformly within the limit."""
        return self.uniform(count, *purpose)

    def select_final(self) -> None:
        """Screen random cells, then select the best of the finalists."""
        options = self.options
        candidates = self.uniform(options.candidates, self.epochs, 2)
        order = self.keep_best("screening", candidates, options.batches)
        self.keep_best("final", [candidates[index] for index in order[: options.finalists]])
