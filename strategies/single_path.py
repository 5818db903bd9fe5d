"""Searching by sampled cells: each batch trains one cell, on weights that all cells share."""

from __future__ import annotations

import itertools
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import AbstractGenotype
from search_spaces.coding import Coding
from search_spaces.errors import UserError
from search_spaces.model_space import CellSpace, ChoosingCell, SearchTimeCell
from strategies.builtin import MONITORED_CELLS
from strategies.supernet import OptionsT, Snapshot, SupernetStrategy


class PathStrategy(SupernetStrategy[OptionsT]):
    """Base of the strategies that train shared weights by sampling cells.

    A subclass samples the cells that an epoch trains (`draw`) and selects the final one (`select_final`).
    Cells beyond the limit on multiply-adds are rejected: they are neither trained nor scored.
    """

    @abstractmethod
    def draw(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Sample cells within the limit.

        Args:
            count: number of cells.
            *purpose: numbers that, with the seed, determine the draws: the epoch, then 0 for training, 1 for
                monitoring and 2 for the final choice.
        """

    def setup(self) -> None:
        """Read the scores that an earlier process has written to the journal."""
        self._known = {
            (entry["stage"], entry["candidate"]): entry for entry in self.evaluator.context.journal
        }

    def mutate_model(self, model: CellSpace) -> CellSpace:
        """Note the choices of the space before its cells are replaced."""
        self.coding = Coding.of(model.simplify())
        return super().mutate_model(model)

    def search_cell(self, cell: Any) -> SearchTimeCell:
        """The cell that computes one path."""
        return self.space.sampled_cell(cell)

    def search_state_dict(self) -> dict[str, Any]:
        """An empty state: draws depend on the seed and their purpose alone."""
        return {}

    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state, which is empty."""

    def uniform(self, count: int, *purpose: int) -> list[AbstractGenotype]:
        """Draw cells uniformly within the limit; `purpose` as in `draw`."""
        rng = self.rng(*purpose)

        def draw() -> AbstractGenotype:
            return self.space.from_sample(self.coding.sample(self.coding.random(rng)))

        return [self.evaluator.context.draw_within_limit(draw, lambda drawn: drawn) for _ in range(count)]

    def training_images(self, epoch: int) -> int:
        """Images of the weight split; the alpha split is scored without a gradient."""
        return self.evaluator.weights.samples

    @property
    def steps(self) -> int:
        """Number of steps of an epoch, as progress counts them."""
        return len(self.evaluator.weights)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train the shared weights, one cell per batch."""
        meter, weights = self.meter(), self.evaluator.weights
        cells = self.draw(len(weights), epoch, 0)
        for done, ((images, labels), genotype) in enumerate(zip(weights, cells, strict=True), start=1):
            self.set_path(genotype)
            loss, logits = self.weight_step(images, labels)
            meter.add(loss, logits, labels)
            self.evaluator.recorder.advance(epoch, done, self.steps)
        return meter.loss_and_top1()

    def derive(self, epoch: int) -> Snapshot:
        """Score a few cells on one batch each; the best is the genotype, their means are the metrics.

        Without a validation the genotype stays what it was: at first a cell that none was compared with.
        """
        if not self.validates:
            return Snapshot(self.result.genotype or self.draw(1, epoch, 1)[0], {}, {})
        cells = self.draw(MONITORED_CELLS, epoch, 1)
        overall, best_top1, best = self.meter(), -1.0, cells[0]
        batches = itertools.cycle(self.evaluator.validation)
        for genotype, batch in zip(cells, batches, strict=False):
            own = self.meter()
            with torch.no_grad():
                scored = self._score_batch(genotype, batch)
            for meter in (overall, own):
                meter.add(*scored)
            top1 = own.compute().top1
            if top1 > best_top1:
                best_top1, best = top1, genotype
        return Snapshot(best, overall.loss_and_top1(), {})

    def set_path(self, genotype: AbstractGenotype) -> None:
        """Set the cell that the supernet computes from now on."""
        for cell in cast(Iterable[ChoosingCell], self.supernet.cells):
            cell.choose(genotype)

    @torch.no_grad()
    def top1(self, genotype: AbstractGenotype, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Top-1 in percent of a cell under the shared weights.

        Args:
            genotype: the cell.
            batches: images float [B, 3, H, W] and labels int64 [B].
        """
        meter = self.meter()
        for batch in batches:
            meter.add(*self._score_batch(genotype, batch))
        return meter.compute().top1

    def _score_batch(
        self, genotype: AbstractGenotype, batch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss [], logits [B, num_classes] and labels [B] of a cell on one batch."""
        self.supernet.eval()
        self.set_path(genotype)
        images, labels = batch
        logits = self.supernet(images)
        self.count_forward(labels)
        return cross_entropy(logits, labels), logits, labels

    # Selecting the final cell

    def score(self, stage: str, index: int, genotype: AbstractGenotype, batches: int | None = None) -> float:
        """Top-1 in percent of a candidate under the shared weights.

        The score is written to the journal, so that a search that is killed resumes with the next candidate.
        Ask `is_out_of_time` before every further candidate.

        Args:
            stage: name of the selection that the candidate takes part in.
            index: number of the candidate in that stage.
            genotype: the candidate.
            batches: number of validation batches; None: all of them.
        """
        result = self.result
        images, entry = result.forward_images, self._known.get((stage, index))
        if entry is None:
            start_time = time.perf_counter()
            self.seed_noise(self.epochs, index, *stage.encode())
            top1 = self.top1(genotype, itertools.islice(self.evaluator.validation, batches))
            entry = {
                "stage": stage,
                "candidate": index,
                "genotype": genotype.to_dict(),
                "top1": top1,
                "forward_samples": result.forward_images - images,
                "seconds": self.agreed_seconds(start_time),
            }
            self.evaluator.context.journal.append(entry)
        if self.space.from_dict(entry["genotype"]) != genotype:
            raise UserError("the run's list of candidates is of another search; start anew in another folder")
        result.forward_images = images + entry.get("forward_samples", 0)  # 0.1 did not count them
        result.seconds += entry["seconds"]
        result.candidates += 1
        return float(entry["top1"])

    def keep_best(
        self, stage: str, candidates: Sequence[AbstractGenotype], batches: int | None = None
    ) -> list[int]:
        """Score candidates, at least one and then as many as there is time for; the best is the incumbent.

        Args:
            stage: name of the selection.
            candidates: the cells to choose from.
            batches: number of validation batches that score a cell; None: all of them.

        Returns:
            Indices of the scored candidates, best first; of equal scores the earlier first.
        """
        scores: list[float] = []
        for index, genotype in enumerate(candidates):
            if scores and self.is_out_of_time:
                break
            scores.append(self.score(stage, index, genotype, batches))
            self.evaluator.recorder.advance(self.epochs, index + 1, len(candidates))
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        self.set_incumbent(candidates[order[0]], scores[order[0]])
        return order

    def set_incumbent(self, genotype: AbstractGenotype, score: float) -> None:
        """Make `genotype` the result so far, with its top-1 in percent, and report it as one more epoch."""
        evaluator = self.evaluator
        self.result.genotype, self.result.score = genotype, score
        step = self.epochs * len(evaluator.weights)
        evaluator.recorder.log("validation", step, self.epochs, top1=score)
        evaluator.recorder.record(self.epochs, genotype, {}, score)
