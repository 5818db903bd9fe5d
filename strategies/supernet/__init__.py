"""Searching on shared weights: the frame that every supernet strategy fills in, as an NNI one-shot strategy.

The smallest complete strategy of one's own is a file `my_search.py`, run by `--strategy my_search:Options`:

    from strategies.builtin import SampledCellOptions
    from strategies.single_path import PathStrategy

    class Options(SampledCellOptions):
        def create(self):
            return BestOfTwenty(self)

    class BestOfTwenty(PathStrategy[Options]):
        def draw(self, count, *purpose):
            return self.uniform(count, *purpose)  # the cells that train the shared weights, one per batch

        def select_final(self):
            self.keep_best("final", self.uniform(20, self.epochs, 2))

NNI's mutation hooks put a search-time cell in place of each cell of the space, and its sequential engine runs
the search. The loop itself is plain torch, so that a search can stop after any epoch and resume as if it had
not.

`strategy` has the frame and its hooks, `epoch` what happens in an epoch, `weights` the optimizer of the
shared weights and its step (`sgd`), `checkpoint` what a search resumes from, `evaluator` data and schedule.
"""

from strategies.supernet.epoch import Snapshot
from strategies.supernet.evaluator import Schedule, SupernetEvaluator
from strategies.supernet.strategy import SupernetStrategy
from strategies.supernet.weights import OptionsT

__all__ = ["OptionsT", "Schedule", "Snapshot", "SupernetEvaluator", "SupernetStrategy"]
