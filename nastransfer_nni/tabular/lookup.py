"""Strategies that train candidates, run on a table: a candidate's score is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd

from nastransfer_nni.tabular.spaces import TableSpace
from search_spaces.nni_api import (
    ExecutableModelSpace,
    SequentialExecutionEngine,
    SimplifiedModelSpace,
    nni,
)
from strategies import StrategySpec
from strategies.data_loaders import SilentRecorder
from strategies.interfaces import SearchContext
from strategies.multitrial import CandidateEvaluator, MultiTrialStrategy

SMALL = 2
"""Width of the network that a search never builds."""


class TableEvaluator(CandidateEvaluator):
    """Reports what a table says of a candidate, without building its network.

    A cell that the table lacks counts as one whose training has diverged.

    Args:
        space: the space of the cells.
        scores: score of each cell of the table.
        context: seed of the search, and what counts multiply-adds.
    """

    training_images = 0
    workers = 1

    def __init__(self, space: TableSpace, scores: Mapping[str, float], context: SearchContext) -> None:
        self.space, self.scores, self.context, self.recorder = space, scores, context, SilentRecorder()

    def architecture(self, sample: dict[str, Any]) -> str:
        """The cell of a sample, as the table writes it."""
        return self.space.cell(sample)

    def _execute(self, model: ExecutableModelSpace) -> None:
        """Report the score of a candidate."""
        score = self.scores.get(self.architecture(model.sample))
        result = {"default": 0.0, "diverged": True} if score is None else {"default": score}
        nni.report_final_result({**result, "samples": 0, "seconds": 0.0})


def search(
    spec: StrategySpec, space: TableSpace, scores: Mapping[str, float], seed: int
) -> MultiTrialStrategy[Any]:
    """Run a strategy on a table, in NNI's sequential engine.

    Args:
        spec: the strategy with its options.
        space: the space that it searches.
        scores: score of each cell of the table.
        seed: random seed of the search.
    """
    strategy = spec.create()
    assert isinstance(strategy, MultiTrialStrategy)
    context = SearchContext(seed=seed, mult_adds=space.mult_adds)
    evaluator = TableEvaluator(space, scores, context)
    model = SimplifiedModelSpace(*_model_space(space), evaluator)
    strategy(model, SequentialExecutionEngine())
    return strategy


@cache
def _model_space(space: TableSpace) -> tuple[Any, Any]:
    """The NNI space at a small size, since its network is never built, and its choices."""
    _, _, num_classes, stem, _ = space.network
    model = space.space.model_space(SMALL, space.network[1], num_classes, stem)
    return model, model.simplify()


def found(strategy: MultiTrialStrategy[Any]) -> str:
    """The cell that a search has chosen."""
    history = strategy.history
    return str(strategy.proposer.architecture(history[strategy.proposer.best(history)].code))


def scores_of(cells: pd.Series[str], values: pd.Series[float]) -> dict[str, float]:
    """The score of each cell."""
    return {str(cell): float(value) for cell, value in zip(cells, values, strict=True)}
