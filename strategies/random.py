"""The baseline: architectures drawn uniformly."""

from __future__ import annotations

import math
from typing import Any

from strategies.multitrial import MultiTrialStrategy
from strategies.options import RandomOptions
from strategies.proposers import Proposer, Told


class RandomSearch(MultiTrialStrategy[RandomOptions]):
    """One uniform draw without any training, or the best of several once each is trained.

    With a budget, as many are trained as it pays for.
    """

    def make_proposer(self, *args: Any) -> Proposer:
        """Uniform draws."""
        return Proposer(*args)

    def total(self) -> int:
        """As the options say."""
        return self.options.candidates

    def _run(self) -> None:
        if self.options.candidates > 1 or self.evaluator.context.budget is not None:
            super()._run()
            return
        self.told.append(Told(self.proposer.propose(0, []), math.nan))
        self.settle()
