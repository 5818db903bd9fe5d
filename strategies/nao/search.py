"""NAO as a search: on shared weights, or by training candidates."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from search_spaces import AbstractGenotype
from search_spaces.coding import Code
from strategies.multitrial import MultiTrialStrategy
from strategies.nao.options import NaoOptions
from strategies.nao.tokens import Tokens
from strategies.nao.training import CellOptimizer
from strategies.proposers import Evaluation, Proposer
from strategies.single_path import PathStrategy


def best_first(scores: Sequence[float]) -> list[int]:
    """Places of the scores, the largest first; of equal ones the earlier first."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


class SupernetNao(PathStrategy[NaoOptions]):
    """A pool of cells trains the shared weights; in each round the controller replaces its worst cells.

    Attributes:
        pool: the cells that train the shared weights.
    """

    def setup(self) -> None:
        """Draw the pool and create the controller."""
        super().setup()
        self.options.check_search(self.epochs, width=0, layers=0)
        rng = self.rng(0, 5)
        self.pool: list[Code] = [
            self.evaluator.context.draw_within_limit(lambda: self.coding.random(rng), self._genotype)
            for _ in range(self.options.pool)
        ]
        seed = int(self.rng(0, 6).integers(2**62))
        self._optimizer = CellOptimizer(self.options, Tokens(self.coding), seed)
        self._round: dict[str, float] = {}

    def draw(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Draw cells of the pool."""
        places = self.rng(*purpose).integers(len(self.pool), size=count)
        return [self._genotype(self.pool[place]) for place in places]

    def begin_epoch(self, epoch: int) -> None:
        """Have a round of new cells, where one is due."""
        self._round = {}
        if epoch and epoch % self.options.every == 0:
            order = self._score_pool(epoch)
            if len(order) == len(self.pool):
                self._replace_worst(epoch, order)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train the shared weights; the metrics of a round before the epoch are reported with those."""
        return super().train_epoch(epoch) | self._round

    def select_final(self) -> None:
        """Score the pool, then select the best of the finalists on the whole validation split."""
        order = self._score_pool(self.epochs)
        self.keep_best(
            "final", [self._genotype(self.pool[place]) for place in order[: self.options.finalists]]
        )

    def search_state_dict(self) -> dict[str, Any]:
        """The pool, and the weights of the controller."""
        return {
            "pool": [list(code) for code in self.pool],
            "controller": self._optimizer.controller.state_dict(),
        }

    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `search_state_dict` returned."""
        self.pool = [tuple(code) for code in state["pool"]]
        self._optimizer.controller.load_state_dict(state["controller"])

    def _score_pool(self, epoch: int) -> list[int]:
        """Score the cells of the pool that there is time for; returns their places, best first."""
        self._scores: list[float] = []
        for place, code in enumerate(self.pool):
            if self._scores and self.is_out_of_time:
                break
            genotype = self._genotype(code)
            self._scores.append(self.score(f"pool-{epoch}", place, genotype, self.options.batches))
            self.evaluator.recorder.advance(epoch, place + 1, len(self.pool))
        return best_first(self._scores)

    def _replace_worst(self, epoch: int, order: Sequence[int]) -> None:
        """Train the controller on the scores of the pool, and put new cells in place of the worst."""
        start_time, options = time.perf_counter(), self.options
        loss = self._optimizer.fit(self.pool, self._scores, self.rng(epoch, 5))
        ordered = [self.pool[place] for place in order]
        new = self._optimizer.improve(
            ordered[: options.top],
            options.new,
            known=self.pool,
            fits=lambda code: self.evaluator.context.fits(self._genotype(code)),
        )
        self.pool = ordered[: len(ordered) - len(new)] + new
        self.result.seconds += self.agreed_seconds(start_time)
        self._round = {"controller_loss": loss, "new_cells": float(len(new))}

    def _genotype(self, code: Code) -> AbstractGenotype:
        return self.space.from_sample(self.coding.sample(code))


class NaoProposer(Proposer):
    """Proposes random candidates, then in rounds those that a controller finds from all scores so far.

    A round trains a new controller, so that it depends on the scores alone. Where the controller finds fewer
    new candidates than a round has, random ones fill up.

    Args:
        options: options of NAO.
        *args: arguments of `Proposer`.
    """

    def __init__(self, options: NaoOptions, *args: Any) -> None:
        super().__init__(*args)
        self.options, self._tokens = options, Tokens(self.coding)
        self._round: tuple[int, list[Code]] = (0, [])

    def needs(self, index: int) -> int:
        """All candidates of earlier rounds; none for the first pool."""
        options = self.options
        if index < options.pool:
            return 0
        return index - (index - options.pool) % options.new

    def propose(self, index: int, history: Sequence[Evaluation]) -> Code:
        """Draw a random candidate for the first pool, take one of the round's after it."""
        start = self.needs(index)
        if start == 0:
            return self.random(self.rng(index))
        if self._round[0] != start:
            self._round = (start, self._new(start, history))
        found = self._round[1]
        return found[index - start] if index - start < len(found) else self.random(self.rng(index))

    def _new(self, start: int, history: Sequence[Evaluation]) -> list[Code]:
        """The new candidates of the round whose first one has the index `start`."""
        rng, options = self.rng(start), self.options
        finite = [evaluation.score for evaluation in history if math.isfinite(evaluation.score)]
        worst = min(finite, default=0.0)
        scores = [max(evaluation.score, worst) for evaluation in history]
        codes = [evaluation.code for evaluation in history]
        optimizer = CellOptimizer(options, self._tokens, int(rng.integers(2**62)))
        optimizer.fit(codes, scores, rng)
        return optimizer.improve(
            [codes[place] for place in best_first(scores)[: options.top]],
            options.new,
            known=codes,
            fits=lambda code: self.context.fits(self.architecture(code)),
        )


class Nao(MultiTrialStrategy[NaoOptions]):
    """NAO by training candidates from scratch."""

    def make_proposer(self, *args: Any) -> Proposer:
        """Create the proposer of the options."""
        return NaoProposer(self.options, *args)
