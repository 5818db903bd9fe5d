"""Searching on shared weights: the frame that every supernet strategy fills in, as an NNI one-shot strategy.

NNI's mutation hooks put a search-time cell in place of each cell of the space, and its sequential engine runs
the search. The loop itself is plain torch, so that a search can stop after any epoch and go on as if it had
not.
"""

from __future__ import annotations

import itertools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces import DartsSpace, Genotype
from search_spaces.errors import UserError
from search_spaces.nni_api import Evaluator, OneShotStrategy, RawFormatModelSpace, nni
from strategies.distributed import DistributedContext, all_reduce_mean
from strategies.interfaces import Recorder, SearchContext, Tables
from strategies.options import Options
from strategies.result import SearchResult

__all__ = [
    "Average",
    "Batches",
    "Recorder",
    "Schedule",
    "SearchResult",
    "Standing",
    "SupernetEvaluator",
    "SupernetStrategy",
    "Tables",
]


class Batches(Protocol):
    """Batches of (images float [B, 3, H, W], labels int64 [B]), the same for the same epoch.

    Of several processes each has its share of every batch, equally large.
    """

    batch_size: int

    @property
    def samples(self) -> int:
        """Images of an epoch, in this process."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Schedule:
    """How the shared weights are trained.

    Attributes:
        epochs: passes over the weights half.
        lr: learning rate of SGD at the start; falls to `min_lr` on a cosine, epoch by epoch.
        min_lr: learning rate of SGD at the end.
        momentum: of SGD.
        weight_decay: of SGD.
        clip_grad: largest norm of the weights' gradient.
    """

    epochs: int = 50
    lr: float = 0.025
    min_lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_grad: float = 5.0


class SupernetEvaluator(Evaluator):  # type: ignore[misc]
    """Data, schedule and records of a search on shared weights: what NNI hands to the strategy.

    Args:
        weights: the half that trains the shared weights.
        alphas: the half that the architecture is learned on.
        validation: that second half as it is, always in the same mixed order (a batch has images of many
            classes).
        schedule: of the shared weights.
        recorder: where the search reports to.
        device: where it runs.
        resume: the state that `save` was last given, to go on from.
        save: called with the state after every epoch; it holds tensors, numbers and strings only.
        context: seed, budget and limit of the search.
        processes: the processes that search together.
    """

    def __init__(
        self,
        weights: Batches,
        alphas: Batches,
        validation: Batches,
        schedule: Schedule,
        recorder: Recorder,
        device: torch.device | str = "cpu",
        resume: dict[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        context: SearchContext | None = None,
        processes: DistributedContext | None = None,
    ) -> None:
        self.weights, self.alphas, self.validation = weights, alphas, validation
        self.schedule, self.recorder, self.device = schedule, recorder, torch.device(device)
        self.resume, self.save = resume, save
        self.context = context or SearchContext()
        self.processes = processes or DistributedContext()


@dataclass(frozen=True)
class Standing:
    """Where a search stands after an epoch.

    Attributes:
        genotype: the architecture it would export.
        figures: `loss` and `top1` on validation batches.
        tables: the weights of the candidates; empty where the strategy has none.
    """

    genotype: Genotype
    figures: dict[str, float]
    tables: Tables


OptionsT = TypeVar("OptionsT", bound=Options)


class SupernetStrategy(OneShotStrategy, Generic[OptionsT], ABC):  # type: ignore[misc]
    """Base of the strategies that search on shared weights.

    A subclass says which search-time cell it needs (`default_mutation_hooks`), what it learns besides the
    weights (`start`, `own_state`, `load_own_state`), how an epoch goes (`train_epoch`) and which architecture
    it stands at (`stand`).

    Several processes search as one: each computes its share of every batch, gradients are averaged before any
    step, and figures are summed. BatchNorm alone keeps to the share, as in data-parallel training.

    Attributes:
        options: the strategy's options.
        result: what the search has come to so far.
        epochs: epochs that the search takes, known once it runs.
    """

    evaluator: SupernetEvaluator
    optimizer: torch.optim.Optimizer

    def __init__(self, options: OptionsT) -> None:
        super().__init__()
        self.options = options
        self.result = SearchResult()

    # What a strategy fills in

    @abstractmethod
    def start(self) -> None:
        """Make what the strategy learns besides the weights, on `self.evaluator.device`."""

    @abstractmethod
    def samples_of(self, epoch: int) -> int:
        """Images that pass through the supernet with a gradient in `epoch`, in this process."""

    @abstractmethod
    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch; returns the figures of the training split."""

    @abstractmethod
    def stand(self, epoch: int) -> Standing:
        """The architecture that the search stands at after `epoch`; called without gradients."""

    def is_over(self) -> bool:
        """Whether the search ends before its last epoch."""
        return False

    def conclude(self) -> None:
        """Choose the architecture once the weights are trained, where it is not the last epoch's."""

    @abstractmethod
    def own_state(self) -> dict[str, Any]:
        """What `start` made, for a checkpoint."""

    @abstractmethod
    def load_own_state(self, state: dict[str, Any]) -> None:
        """Put back what `own_state` gave."""

    # What NNI calls

    def mutate_evaluator(self, evaluator: Evaluator) -> Evaluator:
        """Take over the evaluator: executing the supernet is running the search."""
        if not isinstance(evaluator, SupernetEvaluator):
            raise TypeError(
                f"{type(self).__name__} needs a SupernetEvaluator, not {type(evaluator).__name__}"
            )
        self.evaluator = evaluator
        return _Search(self)

    def list_models(self, sort: bool = True, limit: int | None = 1) -> Iterator[RawFormatModelSpace]:
        """The architecture found, as NNI's frozen model."""
        if self.result.genotype is not None:
            yield self.model_space.freeze(self.result.genotype.to_sample())

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the search keeps its own state, after every epoch."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the search keeps its own state, after every epoch."""

    # The search

    def search(self, supernet: DartsSpace) -> None:
        """Run the search on the mutated space; called by NNI's engine."""
        evaluator, schedule = self.evaluator, self.evaluator.schedule
        supernet.to(evaluator.device)
        self.start()
        self.optimizer = torch.optim.SGD(
            supernet.parameters(),
            schedule.lr,
            schedule.momentum,
            weight_decay=schedule.weight_decay,
        )
        self.epochs = self._affordable()
        evaluator.recorder.expect(self.epochs)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.epochs, schedule.min_lr)
        parts = {"supernet": supernet, "optimizer": self.optimizer, "scheduler": scheduler}
        if evaluator.resume is not None:
            self._load(evaluator.resume, parts)
        while self.result.epochs < self.epochs and not self.is_over():
            self._epoch(self.result.epochs)
            scheduler.step()
            evaluator.save(self._state(parts))
        self.conclude()
        nni.report_final_result(self.result.score)

    def rng(self, *purpose: int) -> np.random.Generator:
        """The generator of one purpose: a resumed search draws what it would have drawn."""
        return np.random.default_rng([self.evaluator.context.seed, *purpose])

    def _affordable(self) -> int:
        """Whole epochs that the budget pays for; without one, those of the schedule."""
        budget, size = self.evaluator.context.budget, self.evaluator.processes.world_size
        if budget is None:
            return self.evaluator.schedule.epochs
        paid = itertools.takewhile(
            lambda total: total <= budget,
            itertools.accumulate(self.samples_of(epoch) * size for epoch in itertools.count()),
        )
        if epochs := sum(1 for _ in paid):
            return epochs
        first = self.samples_of(0) * size
        raise UserError(f"a budget of {budget:,} samples is less than one epoch ({first:,})")

    def _epoch(self, epoch: int) -> None:
        evaluator, result, began = self.evaluator, self.result, time.perf_counter()
        for batches in (evaluator.weights, evaluator.alphas):
            batches.set_epoch(epoch)
        self.supernet.train()
        before, rate = result.training_images, self.optimizer.param_groups[0]["lr"]
        training = self.train_epoch(epoch)
        if not math.isfinite(training["loss"]):
            raise UserError(
                f"the training loss is {training['loss']} in epoch {epoch}: the search has diverged; "
                "try a lower learning rate"
            )
        self._agree_on_statistics()
        seconds = time.perf_counter() - began
        with torch.no_grad():
            standing = self.stand(epoch)
        result.genotype, result.score = standing.genotype, standing.figures["top1"]
        result.seconds += time.perf_counter() - began
        result.epochs = epoch + 1
        speed = {
            "lr": rate,
            "images_per_second": (result.training_images - before) / seconds,
            "seconds": seconds,
        }
        step = result.epochs * len(evaluator.weights)
        evaluator.recorder.log("train", step, epoch, **training, **speed)
        evaluator.recorder.log("validation", step, epoch, **standing.figures)
        evaluator.recorder.record(epoch, result.genotype, standing.tables, result.score)
        nni.report_intermediate_result(result.score)

    def weight_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of SGD on the shared weights of what the cells are set to; returns loss and logits."""
        weights = list(self.supernet.parameters())
        logits = self.supernet(images)
        loss = cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight, gradient in zip(
            weights, all_reduce_mean(gradients, self.evaluator.processes), strict=True
        ):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(weights, self.evaluator.schedule.clip_grad)
        self.optimizer.step()
        self.count(labels)
        return loss.detach(), logits.detach()

    def count(self, labels: Tensor) -> None:
        """Add a batch, of which this process has its share, to the images that passed with a gradient."""
        self.result.training_images += len(labels) * self.evaluator.processes.world_size

    def average(self) -> Average:
        """A mean over images, of all processes."""
        return Average(self.evaluator.processes, self.evaluator.device)

    def _agree_on_statistics(self) -> None:
        """Give all processes the mean of BatchNorm's running figures, which they gathered each on its own."""
        if self.evaluator.processes.world_size > 1:
            running = [buffer for buffer in self.supernet.buffers() if buffer.is_floating_point()]
            for buffer, mean in zip(running, all_reduce_mean(running, self.evaluator.processes), strict=True):
                buffer.copy_(mean)

    def _state(self, parts: dict[str, Any]) -> dict[str, Any]:
        result = self.result
        assert result.genotype is not None
        return {
            "strategy": type(self).__name__,
            "result": result.state_dict(),
            "own": self.own_state(),
            **{name: part.state_dict() for name, part in parts.items()},
        }

    def _load(self, state: dict[str, Any], parts: dict[str, Any]) -> None:
        assert state["strategy"] == type(self).__name__, "a run's options name its strategy"
        self.result = SearchResult.from_state_dict(state["result"])
        self.load_own_state(state["own"])
        for name, part in parts.items():
            part.load_state_dict(state[name])


class _Search(Evaluator):  # type: ignore[misc]
    """The evaluator that NNI's engine executes: it runs the strategy's search on the supernet."""

    def __init__(self, strategy: SupernetStrategy[Any]) -> None:
        self.strategy = strategy

    def evaluate(self, model: DartsSpace) -> None:
        self.strategy.search(model)


class Average:
    """Mean loss and top-1 over images, kept on the device until they are asked for.

    Args:
        processes: the processes whose images they are.
        device: where the processes talk to each other.
    """

    def __init__(self, processes: DistributedContext, device: torch.device) -> None:
        self._processes, self._device = processes, device
        self.loss: Tensor | float = 0.0
        self.correct: Tensor | float = 0.0
        self.images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch with its mean loss."""
        self.loss = self.loss + loss.double() * len(labels)
        self.correct = self.correct + (logits.argmax(1) == labels).sum()
        self.images += len(labels)

    def figures(self) -> dict[str, float]:
        """`loss`, and `top1` in percent, over the images of all processes."""
        mine = [float(self.loss), float(self.correct), float(self.images)]
        loss, correct, images = self._processes.all_reduce_sum(
            torch.tensor(mine, dtype=torch.float64, device=self._device)
        ).tolist()
        return {"loss": loss / images, "top1": 100.0 * correct / images}
