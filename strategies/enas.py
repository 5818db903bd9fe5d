"""ENAS: efficient architecture search by parameter sharing (Pham et al., ICML 2018), micro search space."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from search_spaces import AbstractGenotype
from strategies.builtin import EnasOptions
from strategies.controller import Reinforce
from strategies.single_path import PathStrategy

MAX_ATTEMPTS = 50
"""Times that the controller samples for cells within the limit before uniform draws fill up."""


class Enas(PathStrategy[EnasOptions]):
    """Epochs of shared weights on the controller's cells, each followed by steps of the controller.

    A cell beyond the limit gets no reward, is not trained and is never the result.
    """

    def setup(self) -> None:
        """Create the controller and its optimizer."""
        super().setup()
        self.reinforce = Reinforce(self.options, self._draw_seed(0, 3), self.space)

    def draw(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Sample cells within the limit from the current controller."""
        generator = self._generator(*purpose)
        fits = self.evaluator.context.fits
        cells: list[AbstractGenotype] = []
        with torch.no_grad():
            for _ in range(MAX_ATTEMPTS):
                if len(cells) == count:
                    break
                sampled = self.reinforce.controller(count - len(cells), generator).genotypes
                cells += filter(fits, sampled)
        return cells + self.uniform(count - len(cells), *purpose)

    @property
    def steps(self) -> int:
        """Number of steps of an epoch: those of the shared weights, then those of the controller."""
        return super().steps + self.options.controller_steps

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train the shared weights, then the controller on batches of the alpha split."""
        metrics = super().train_epoch(epoch)
        generator = self._generator(epoch, 4)
        batches: Iterator[tuple[Tensor, Tensor]] = itertools.chain.from_iterable(
            iter(self.evaluator.alphas) for _ in itertools.count()
        )

        def rewards(cells: Sequence[AbstractGenotype]) -> list[float]:
            return [
                self.top1(cell, [next(batches)]) / 100 if self.evaluator.context.fits(cell) else 0.0
                for cell in cells
            ]

        means = []
        for done in range(len(self.evaluator.weights), self.steps):
            means.append(self.reinforce.step(rewards, generator))
            self.evaluator.recorder.advance(epoch, done + 1, self.steps)
        return metrics | {"reward": sum(means) / len(means)}

    def select_final(self) -> None:
        """Select the best of a few cells that the trained controller samples."""
        self.keep_best("final", self.draw(self.options.candidates, self.epochs, 2))

    def search_state_dict(self) -> dict[str, Any]:
        """State of the controller, its optimizer and its baseline."""
        return self.reinforce.state_dict()

    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `search_state_dict` returned."""
        self.reinforce.load_state_dict(state)

    def _draw_seed(self, *purpose: int) -> int:
        return int(self.rng(*purpose).integers(2**62))

    def _generator(self, *purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._draw_seed(*purpose))
