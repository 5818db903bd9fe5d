"""Evaluating cells cheaply, with what each evaluation costs; what is known already is not computed again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nastransfer_nni.base import torch_io
from nastransfer_nni.base.distributed import DistributedContext, pick_device
from nastransfer_nni.base.files import digest, finite
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.nni_engine.experiments import InProcessExperiment
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.rank.config import RankConfig
from nastransfer_nni.rank.evaluations import Evaluation
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import image_size, make_batches
from nastransfer_nni.search.scoring import ScoreEvaluator
from nastransfer_nni.tracking.journal import FileJournal
from nastransfer_nni.training.loop import TrainingDiverged
from search_spaces import AbstractGenotype, Space
from strategies.builtin import RandomWsOptions
from strategies.data_loaders import SilentRecorder
from strategies.interfaces import SearchContext
from strategies.random_ws import RandomWs
from strategies.scores import SCORES
from strategies.supernet import Schedule, SupernetEvaluator

SHARED = "shared"
"""Place of a cell in the journal for what all cells share: an epoch of the supernet."""

Progress = Callable[[int, int], None]
"""Is told how much of an evaluation is done, and of how much."""


class Measurement:
    """Values and costs of evaluations of some cells, kept in a journal from which a killed process resumes.

    Args:
        config: options of the ranking.
        cells: the cells.
        space: the search space that they are of.
        folder: folder of the journal and of checkpoints of supernets.
    """

    def __init__(
        self, config: RankConfig, cells: Sequence[AbstractGenotype], space: Space, folder: Path
    ) -> None:
        self.config, self.cells, self._space, self._folder = config, cells, space, folder
        self._processes = DistributedContext(device=pick_device(config.device))
        self._clock = time.process_time if self._processes.device.type == "cpu" else time.perf_counter
        self._keys = [digest(str(genotype), 16) for genotype in cells]
        self._journal = FileJournal(folder / "values.jsonl")
        self._known = {(entry["evaluation"], entry["cell"]): entry for entry in self._journal}

    @property
    def is_cpu_time(self) -> bool:
        """Whether costs are seconds of CPU time, and not of wall time."""
        return self._clock is time.process_time

    @cached_property
    def images(self) -> ImageSet:
        """The images of the evaluations."""
        return resolve(self.config.proxy, self.config.source, self.config.proxy_seed)[0]

    def rows(self, evaluation: Evaluation) -> list[int]:
        """The cells that are evaluated: all, or those that are drawn for trainings."""
        most = self.config.max_trained
        if evaluation.kind != "train" or most is None or most >= len(self.cells):
            return list(range(len(self.cells)))
        return sorted(
            int(row) for row in np.random.default_rng(self.config.seed).permutation(len(self.cells))[:most]
        )

    def run(self, evaluation: Evaluation, progress: Progress) -> None:
        """Evaluate the cells that are not evaluated yet."""
        missing = [row for row in self.rows(evaluation) if not self._has(evaluation, row)]
        if not missing:
            return
        if evaluation.kind == "supernet":
            self._share_weights(evaluation, missing, progress)
            return
        evaluate = self._scorer(evaluation) if evaluation.kind == "score" else self._trainer(evaluation)
        for done, row in enumerate(missing, start=1):
            self._measure(evaluation, row, lambda row=row: evaluate(self.cells[row]))  # type: ignore[misc]
            progress(done, len(missing))

    def values(self, evaluation: Evaluation) -> np.ndarray:
        """Values of the cells, float64 [cells]; NaN where a cell is not evaluated, -inf where that failed."""
        values = np.full(len(self.cells), np.nan)
        for row in self.rows(evaluation):
            value = self._known[evaluation.name, self._keys[row]]["value"]
            values[row] = -math.inf if value is None else value
        return values

    def seconds(self, evaluation: Evaluation) -> float:
        """Mean cost of the evaluation of a cell, in seconds, with its share of what the cells share."""
        own = [self._known[evaluation.name, self._keys[row]]["seconds"] for row in self.rows(evaluation)]
        shared = sum(
            entry["seconds"]
            for (name, cell), entry in self._known.items()
            if name == evaluation.name and cell.startswith(SHARED)
        )
        return float((sum(own) + shared) / len(own))

    def _search(self, evaluation: Evaluation) -> SearchConfig:
        return self.config.search_of(evaluation, space=self._space.text)

    def _has(self, evaluation: Evaluation, row: int) -> bool:
        return (evaluation.name, self._keys[row]) in self._known

    def _measure(self, evaluation: Evaluation, row: int, evaluate: Callable[[], float]) -> None:
        start = self._clock()
        value = evaluate()
        self._note(evaluation, self._keys[row], finite(value), self._clock() - start)

    def _note(self, evaluation: Evaluation, cell: str, value: float | None, seconds: float) -> None:
        entry = {"evaluation": evaluation.name, "cell": cell, "value": value, "seconds": round(seconds, 6)}
        self._journal.append(entry)
        self._known[evaluation.name, cell] = entry

    def _scorer(self, evaluation: Evaluation) -> Callable[[AbstractGenotype], float]:
        evaluator = ScoreEvaluator(self._search(evaluation), self.images, self._processes)
        score, batches = SCORES[evaluation.name], evaluator.batches
        return lambda genotype: score(evaluator.network(genotype).to(self._processes.device), batches)

    def _trainer(self, evaluation: Evaluation) -> Callable[[AbstractGenotype], float]:
        evaluator = ScratchEvaluator(self._search(evaluation), self.images, self._processes)

        def train(genotype: AbstractGenotype) -> float:
            try:
                return evaluator.train(genotype).final.top1
            except TrainingDiverged:
                return -math.inf

        return train

    def _share_weights(self, evaluation: Evaluation, missing: Sequence[int], progress: Progress) -> None:
        """Train shared weights on uniformly drawn cells, and evaluate the cells under them."""
        search = self._search(evaluation)
        state = self._folder / "checkpoints" / f"{evaluation.name}.pt"
        torch.manual_seed(search.seed)
        batches = make_batches(self.images, search, self._processes)
        size = image_size(self.images, search)
        stem, classes = search.stem_for(size), len(self.images.classes)
        space = self._space.model_space(search.width, search.layers, classes, stem)
        units = search.epochs + len(missing)
        clock = _Epochs(
            self._clock,
            lambda epoch, seconds: self._note(evaluation, f"{SHARED} epoch {epoch}", None, seconds),
            lambda epoch: progress(epoch, units),
        )
        evaluator = SupernetEvaluator(
            batches.weights,
            batches.alphas,
            batches.validation,
            schedule=Schedule(epochs=search.epochs, lr=search.lr, min_lr=search.min_lr),
            recorder=clock,
            device=self._processes.device,
            resume=torch_io.load(state),
            save=lambda value: torch_io.save(state, value),
            context=SearchContext(seed=search.seed),
        )

        def evaluate(top1: Callable[[AbstractGenotype], float]) -> None:
            for done, row in enumerate(missing, start=1):
                self._measure(evaluation, row, lambda row=row: top1(self.cells[row]))  # type: ignore[misc]
                progress(search.epochs + done, units)

        InProcessExperiment(space, evaluator, _GivenCells(evaluate), self._folder / "nni").search()


class _GivenCells(RandomWs):
    """Trains shared weights on random cells, then has given cells evaluated under them."""

    def __init__(self, evaluate: Callable[[Callable[[AbstractGenotype], float]], None]) -> None:
        super().__init__(RandomWsOptions())
        self._evaluate = evaluate

    def select_final(self) -> None:
        """Evaluate the cells on the whole validation split."""
        self._evaluate(lambda genotype: self.top1(genotype, self.evaluator.validation))


class _Epochs(SilentRecorder):
    """Notes what each epoch of a supernet costs."""

    def __init__(
        self,
        clock: Callable[[], float],
        note: Callable[[int, float], None],
        progress: Callable[[int], None],
    ) -> None:
        self._clock, self._note, self._progress = clock, note, progress
        self._start = clock()

    def record(self, epoch: int, genotype: Any, mixture: Any, top1: float) -> None:
        """Note the cost of an epoch, which ends here."""
        now = self._clock()
        self._note(epoch, now - self._start)
        self._start = now
        self._progress(epoch + 1)
