"""ENAS: efficient architecture search by parameter sharing (Pham et al., ICML 2018), micro search space."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from search_spaces import Genotype
from strategies.controller import Reinforce
from strategies.options import EnasOptions
from strategies.single_path import PathStrategy

RETRIES = 50
"""Times that the controller may write for one cell within the limit before a uniform draw stands in."""


class Enas(PathStrategy[EnasOptions]):
    """Epochs of shared weights on the controller's cells, and controller steps on batches of the other half.

    A cell beyond the limit earns no reward and is not trained; the cells found keep within it.
    """

    def start(self) -> None:
        """A new controller."""
        super().start()
        self.reinforce = Reinforce(self.options, self._number(0, 3))

    def draw(self, count: int, *purpose: int) -> list[Genotype]:
        """Cells as the controller writes them now, within the limit."""
        generator = self._generator(*purpose)
        fits = self.evaluator.context.fits
        cells: list[Genotype] = []
        with torch.no_grad():
            for _ in range(RETRIES):
                if len(cells) == count:
                    break
                written = self.reinforce.controller(count - len(cells), generator).genotypes
                cells += filter(fits, written)
        return cells + self.uniform(count - len(cells), *purpose)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """The shared weights first, then the controller."""
        figures = super().train_epoch(epoch)
        generator = self._generator(epoch, 4)
        batches: Iterator[tuple[Tensor, Tensor]] = itertools.chain.from_iterable(
            iter(self.evaluator.alphas) for _ in itertools.count()
        )

        def rewards(cells: Sequence[Genotype]) -> list[float]:
            return [
                self.top1(cell, [next(batches)]) / 100 if self.evaluator.context.fits(cell) else 0.0
                for cell in cells
            ]

        gains = [self.reinforce.step(rewards, generator) for _ in range(self.options.controller_steps)]
        return figures | {"reward": sum(gains) / len(gains)}

    def conclude(self) -> None:
        """The best of a few cells that the trained controller writes."""
        self.keep_best("final", self.draw(self.options.candidates, self.epochs, 2))

    def own_state(self) -> dict[str, Any]:
        """The controller."""
        return self.reinforce.state_dict()

    def load_own_state(self, state: dict[str, Any]) -> None:
        """The controller."""
        self.reinforce.load_state_dict(state)

    def _number(self, *purpose: int) -> int:
        return int(self.rng(*purpose).integers(2**62))

    def _generator(self, *purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._number(*purpose))
