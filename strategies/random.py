"""The baseline: architectures drawn uniformly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from strategies.builtin import RandomOptions
from strategies.multitrial import MultiTrialStrategy
from strategies.proposers import Evaluation, Proposer


class RandomSearch(MultiTrialStrategy[RandomOptions]):
    """One uniform draw without any training, or the best of several that are trained.

    The single draw, which is a study's baseline, has a random stream of its own: a random cell of seed s is
    never the first candidate of a search of seed s.

    With a budget, as many candidates are trained as fit in it.
    """

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of uniform draws."""
        return Proposer(*args)

    def _run(self) -> None:
        if self.options.candidates > 1 or self.evaluator.context.budget is not None:
            super()._run()
            return
        rng = self.proposer.rng(0)
        if self.options.has_own_stream:
            seeds = np.random.SeedSequence(self.evaluator.context.seed)
            rng = np.random.default_rng(seeds.spawn(1)[0])
        self.history.append(Evaluation(self.proposer.random(rng), math.nan))
        self.set_incumbent()
