"""The baseline: architectures drawn uniformly."""

from __future__ import annotations

import math
from typing import Any

from strategies.builtin import RandomOptions
from strategies.multitrial import MultiTrialStrategy
from strategies.proposers import Evaluation, Proposer


class RandomSearch(MultiTrialStrategy[RandomOptions]):
    """One uniform draw without any training, or the best of several that are trained.

    With a budget, as many candidates are trained as fit in it.
    """

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of uniform draws."""
        return Proposer(*args)

    def _run(self) -> None:
        if self.options.candidates > 1 or self.evaluator.context.budget is not None:
            super()._run()
            return
        self.history.append(Evaluation(self.proposer.propose(0, []), math.nan))
        self.set_incumbent()
