"""Searching by sampled cells: each minibatch trains one cell, on weights that all cells share."""

from __future__ import annotations

import itertools
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import DartsSpace, Genotype
from search_spaces.cells.sampled import SampledCell
from search_spaces.coding import Coding
from search_spaces.nni_api import no_default_hook
from strategies.supernet import OptionsT, Standing, SupernetStrategy

WATCHED = 10
"""Cells that are scored after every epoch, each on one validation batch, to see the weights mature."""


class PathStrategy(SupernetStrategy[OptionsT]):
    """Base of the strategies that train shared weights by sampling cells.

    A subclass says which cells an epoch trains (`draw`) and how the last one is chosen (`conclude`).
    Cells beyond the limit are rejected: they are neither trained nor scored.
    """

    @abstractmethod
    def draw(self, count: int, *purpose: int) -> list[Genotype]:
        """`count` cells within the limit, the same for the same `purpose`."""

    def start(self) -> None:
        """Look up what an earlier process has scored."""
        self._known = {
            (entry["stage"], entry["candidate"]): entry for entry in self.evaluator.context.journal
        }

    def mutate_model(self, model: DartsSpace) -> DartsSpace:
        """Note the choices of the space before its cells are replaced."""
        self.coding = Coding.of(model.simplify())
        return super().mutate_model(model)

    def default_mutation_hooks(self) -> list[Any]:
        """The cell that computes one path, and NNI's guard against cells that no hook has replaced."""
        return [SampledCell.mutate, no_default_hook]

    def own_state(self) -> dict[str, Any]:
        """Nothing: draws depend on the seed and their purpose alone."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def uniform(self, count: int, *purpose: int) -> list[Genotype]:
        """Uniform draws over the cells within the limit."""
        rng = self.rng(*purpose)

        def draw() -> Genotype:
            return Genotype.from_sample(self.coding.sample(self.coding.random(rng)))

        return [self.evaluator.context.first_fit(draw, lambda drawn: drawn) for _ in range(count)]

    def samples_of(self, epoch: int) -> int:
        """A pass over the weights half: the other half passes without a gradient."""
        return self.evaluator.weights.samples

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One cell a minibatch."""
        average, weights = self.average(), self.evaluator.weights
        cells = self.draw(len(weights), epoch, 0)
        for done, ((images, labels), genotype) in enumerate(zip(weights, cells, strict=True), start=1):
            self.follow(genotype)
            loss, logits = self.weight_step(images, labels)
            average.add(loss, logits, labels)
            self.evaluator.recorder.advance(epoch, done, len(weights))
        return average.figures()

    def stand(self, epoch: int) -> Standing:
        """The best of a few cells, each scored on one batch; the figures are their means."""
        cells = self.draw(WATCHED, epoch, 1)
        average, best = self.average(), (-1.0, cells[0])
        batches = itertools.cycle(self.evaluator.validation)
        for genotype, batch in zip(cells, batches, strict=False):
            own = self.average()
            with torch.no_grad():
                scored = self._scored(genotype, batch)
            for figures in (average, own):
                figures.add(*scored)
            best = max(best, (own.figures()["top1"], genotype), key=lambda pair: pair[0])
        return Standing(best[1], average.figures(), {})

    def follow(self, genotype: Genotype) -> None:
        """Set the cell that the supernet computes from now on."""
        for cell in cast(Iterable[SampledCell], self.supernet.cells):
            cell.path = genotype.nodes(cell.geometry.kind)

    @torch.no_grad()
    def top1(self, genotype: Genotype, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Top-1 of a cell under the shared weights, in percent."""
        average = self.average()
        for batch in batches:
            average.add(*self._scored(genotype, batch))
        return average.figures()["top1"]

    def _scored(self, genotype: Genotype, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        self.supernet.eval()
        self.follow(genotype)
        images, labels = batch
        logits = self.supernet(images)
        return cross_entropy(logits, labels), logits, labels

    # Choosing the last cell

    def score(self, stage: str, index: int, genotype: Genotype, batches: int | None = None) -> float:
        """Top-1 of a candidate on the first `batches` validation batches (None: on all).

        It is kept in the journal, so that a search that is killed here goes on with the next one.
        """
        result = self.result
        entry = self._known.get((stage, index))
        if entry is None:
            began = time.perf_counter()
            top1 = self.top1(genotype, itertools.islice(self.evaluator.validation, batches))
            entry = {
                "stage": stage,
                "candidate": index,
                "genotype": genotype.to_dict(),
                "top1": top1,
                "seconds": time.perf_counter() - began,
            }
            self.evaluator.context.journal.append(entry)
        assert Genotype.from_dict(entry["genotype"]) == genotype, "the journal is of another search"
        result.seconds += entry["seconds"]
        result.candidates += 1
        return float(entry["top1"])

    def keep_best(self, stage: str, candidates: Sequence[Genotype], batches: int | None = None) -> list[int]:
        """Score candidates; returns their places, best first, earlier ones before equals.

        The best becomes the architecture that the search stands at.
        """
        scores = []
        for index, genotype in enumerate(candidates):
            scores.append(self.score(stage, index, genotype, batches))
            self.evaluator.recorder.advance(self.epochs, index + 1, len(candidates))
        order = sorted(range(len(candidates)), key=lambda index: -scores[index])
        self.settle(candidates[order[0]], scores[order[0]])
        return order

    def settle(self, genotype: Genotype, score: float) -> None:
        """Make `genotype` the architecture found so far and report it as one more epoch."""
        evaluator = self.evaluator
        self.result.genotype, self.result.score = genotype, score
        step = self.epochs * len(evaluator.weights)
        evaluator.recorder.log("validation", step, self.epochs, top1=score)
        evaluator.recorder.record(self.epochs, genotype, {}, score)
