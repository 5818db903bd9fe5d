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
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from search_spaces import AbstractGenotype, Space
from search_spaces.errors import UserError
from search_spaces.model_space import CellSpace, SearchedCell
from search_spaces.nni_api import Evaluator, OneShotStrategy, RawFormatModelSpace, nni, no_default_hook
from strategies.budget import Cost
from strategies.data_loaders import SilentRecorder, as_batches
from strategies.distributed import DistributedContext, all_reduce_mean
from strategies.interfaces import Batches, Recorder, SearchContext, Tables
from strategies.meters import Meter
from strategies.options import Options
from strategies.result import SearchResult

OptionsT = TypeVar("OptionsT", bound=Options)


class SupernetStrategy(OneShotStrategy, Generic[OptionsT], ABC):  # type: ignore[misc]
    """Base of the strategies that search on shared weights.

    A subclass names its search-time cell (`search_cell`), creates what it learns besides the weights
    (`setup`), trains an epoch (`train_epoch`) and derives a genotype after it (`derive`).

    Several processes search as one: each computes its share of every batch, gradients are averaged before any
    step, and metrics are summed. Only BatchNorm sees no more than its share, as in data-parallel training.

    Attributes:
        options: options of the strategy.
        result: result of the search so far.
        space: the search space; set before `setup` is called.
        evaluator: data, schedule and records of the search; set before `setup` is called.
        optimizer: SGD of the shared weights; set after `setup` was called.
        scheduler: sets the optimizer's learning rate after every epoch.
        epochs: number of epochs of the search; set before `setup` is called.
    """

    former_names: ClassVar[tuple[str, ...]] = ()
    """Names of the class in older checkpoints."""

    space: Space
    evaluator: SupernetEvaluator
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    epochs: int

    def __init__(self, options: OptionsT) -> None:
        super().__init__()
        self.options = options
        self.result = SearchResult()

    # What a strategy fills in

    @abstractmethod
    def search_cell(self, cell: Any) -> nn.Module:
        """The search-time cell that takes the place of a cell of the space, a `SearchedCell`."""

    @abstractmethod
    def setup(self) -> None:
        """Create the architecture parameters and their optimizer on `self.evaluator.device`.

        Called once, before the first epoch and before a checkpoint is loaded.
        """

    @abstractmethod
    def training_images(self, epoch: int) -> int:
        """Number of images that this process backpropagates in `epoch`.

        The budget limits their sum over epochs and processes.
        """

    @abstractmethod
    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch.

        Returns:
            Metrics of the training split: `loss`, `top1` in percent, and any others.
        """

    @abstractmethod
    def derive(self, epoch: int) -> Snapshot:
        """Validate the supernet and derive the current genotype.

        Called under `torch.no_grad` after every epoch.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Change what the search changes between two epochs; called before each."""

    def prepare_to_load(self, state: dict[str, Any]) -> None:
        """Give the supernet the form that it had when `search_state_dict` returned `state`."""

    def is_over(self) -> bool:
        """Whether the search stops before its last epoch; called before each."""
        return False

    def select_final(self) -> None:
        """Select the genotype of the trained supernet, where it is not that of the last epoch."""

    @abstractmethod
    def search_state_dict(self) -> dict[str, Any]:
        """State beyond the shared weights (alphas, controller, optimizers), stored in every checkpoint."""

    @abstractmethod
    def load_search_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `search_state_dict` returned."""

    # What NNI calls

    def default_mutation_hooks(self) -> list[Any]:
        """The search-time cell, and NNI's guard against cells that no hook has replaced."""
        return [self._in_place_of, no_default_hook]

    def _in_place_of(
        self, module: nn.Module, name: str, memo: dict[str, Any], options: dict[str, Any]
    ) -> nn.Module | None:
        return self.search_cell(module) if isinstance(module, SearchedCell) else None

    def mutate_model(self, model: CellSpace) -> CellSpace:
        """Put search-time cells in place of those of the space.

        Raises:
            UserError: it is no space of cells, or the options do not fit it.
        """
        if not isinstance(model, CellSpace):
            raise UserError(
                f"{type(self).__name__} searches a space of cells such as DartsSpace, and nothing beside it; "
                f"for {type(model).__name__} use a strategy that trains candidates, such as evolution"
            )
        self.space = model.space
        self.options.check_space(self.space)
        return super().mutate_model(model)  # type: ignore[no-any-return]

    def mutate_evaluator(self, evaluator: Evaluator) -> Evaluator:
        """Take over the evaluator: executing the supernet is running the search.

        Raises:
            UserError: it is not a `SupernetEvaluator`.
        """
        if not isinstance(evaluator, SupernetEvaluator):
            raise UserError(
                f"{type(self).__name__} needs a SupernetEvaluator, not {type(evaluator).__name__}"
            )
        self.evaluator = evaluator
        return _SearchEvaluator(self)

    def list_models(self, sort: bool = True, limit: int | None = 1) -> Iterator[RawFormatModelSpace]:
        """The architecture found, as NNI's frozen model."""
        if self.result.genotype is not None:
            yield self.model_space.freeze(self.result.genotype.to_sample())

    def state_dict(self) -> dict[str, Any]:
        """NNI's checkpoint of the strategy: empty, since `SupernetEvaluator.save` stores the search."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load NNI's checkpoint of the strategy, which is empty."""

    # The search

    def search(self, supernet: CellSpace) -> None:
        """Run the search on the mutated space; called by NNI's engine.

        Raises:
            UserError: the budget is smaller than one epoch, or the training loss is not finite.
        """
        evaluator = self.evaluator
        supernet.to(evaluator.device)
        self.epochs = self.total_epochs(self._epochs_within_budget())
        self.setup()
        evaluator.recorder.expect(self.epochs)
        self.renew_optimizer(self.cosine_epochs())
        if evaluator.resume is not None:
            self._load(evaluator.resume)
        while self.result.epochs < self.epochs and not (self.is_over() or self.is_out_of_time):
            self.begin_epoch(self.result.epochs)
            self._epoch(self.result.epochs)
            self.scheduler.step()
            evaluator.save(self._state())
        self.epochs = self.result.epochs
        self.select_final()
        nni.report_final_result(self.result.score)

    def renew_optimizer(
        self, epochs: int, lr: float | None = None, min_lr: float | None = None, nesterov: bool = False
    ) -> None:
        """Create the optimizer of the shared weights and its cosine.

        Args:
            epochs: number of epochs in which the learning rate falls to its minimum.
            lr: initial learning rate; None: that of the schedule.
            min_lr: learning rate at the end; None: that of the schedule.
            nesterov: whether the momentum is Nesterov's.
        """
        schedule = self.evaluator.schedule
        self.optimizer = torch.optim.SGD(
            self.supernet.parameters(),
            schedule.lr if lr is None else lr,
            schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=nesterov,
        )
        least = schedule.min_lr if min_lr is None else min_lr
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, epochs, least)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Random generator of one purpose, so that a resumed search draws what it would have drawn."""
        return np.random.default_rng([self.evaluator.context.seed, *purpose])

    def seed_noise(self, *purpose: int) -> None:
        """Seed what the operation `noise` draws, if there is one, so that a resumed search draws the same."""
        if self.space.draws_noise:
            torch.manual_seed(int(self.rng(*purpose, 6, self.evaluator.processes.rank).integers(2**62)))

    def weight_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of SGD on the shared weights, through the operations that the cells are set to.

        Args:
            images: float [B, 3, H, W].
            labels: int64 [B].

        Returns:
            Mean loss [] and logits [B, num_classes] of this process's share of the batch.
        """
        logits = self.supernet(images)
        loss = cross_entropy(logits, labels)
        grads = torch.autograd.grad(loss, self.shared_weights, allow_unused=True)
        self.step_weights(all_reduce_mean(grads, self.evaluator.processes))
        self.count_images(labels)
        return loss.detach(), logits.detach()

    @property
    def shared_weights(self) -> list[Tensor]:
        """The supernet's weights, in its order, as the optimizer has them: to walk the modules takes ms."""
        weights: list[Tensor] = self.optimizer.param_groups[0]["params"]
        return weights

    def step_weights(self, grads: Sequence[Tensor | None]) -> None:
        """Clip the gradients of the shared weights and take a step; a weight without one stays as it is."""
        for weight, grad in zip(self.shared_weights, grads, strict=True):
            weight.grad = grad
        nn.utils.clip_grad_norm_(self.shared_weights, self.evaluator.schedule.clip_grad)
        self.optimizer.step()

    def count_images(self, labels: Tensor) -> None:
        """Add a batch, of which `labels` [B] is this process's share, to the images backpropagated."""
        self.result.training_images += len(labels) * self.evaluator.processes.world_size

    def count_forward(self, labels: Tensor) -> None:
        """Add a batch, of which `labels` [B] is this process's share, to the images without a gradient."""
        self.result.forward_images += len(labels) * self.evaluator.processes.world_size

    @property
    def is_out_of_time(self) -> bool:
        """Whether the search has taken the seconds of its budget; asked before each epoch and candidate."""
        limit = self.evaluator.context.allowance.max_seconds
        return limit is not None and self.result.seconds >= limit

    def agreed_seconds(self, start_time: float) -> float:
        """Seconds since `start_time`, a value of `time.perf_counter`: their mean over all processes."""
        seconds, processes = time.perf_counter() - start_time, self.evaluator.processes
        if processes.world_size == 1:
            return seconds
        total = processes.all_reduce_sum(torch.tensor(seconds, device=processes.device))
        return float(total) / processes.world_size

    def meter(self) -> Meter:
        """A new meter of loss and accuracy, over the images of all processes."""
        return Meter(self.evaluator.processes)

    def _epochs_within_budget(self) -> int:
        """Number of whole epochs within the budget's images; without such a budget, those of the schedule."""
        allowance, schedule = self.evaluator.context.allowance, self.evaluator.schedule
        return allowance.most(self.planned_cost, "epoch") or schedule.epochs

    def total_epochs(self, epochs: int) -> int:
        """Epochs of a search of `epochs`, with those that its choice of a genotype takes besides."""
        return epochs

    def cosine_epochs(self) -> int:
        """Number of epochs in which the learning rate falls to its minimum."""
        return self.epochs

    def planned_images(self, epochs: int) -> int:
        """Number of images that this process backpropagates in a search of so many epochs."""
        return sum(self.training_images(epoch) for epoch in range(epochs))

    def planned_cost(self, epochs: int) -> Cost:
        """Images that all processes take in a search of so many epochs, its choice of a genotype included."""
        evaluator, world_size = self.evaluator, self.evaluator.processes.world_size
        forward_images = self.options.forward_images(
            epochs,
            evaluator.weights.samples * world_size,
            evaluator.validation.samples * world_size,
            evaluator.weights.batch_size * world_size,
        )
        return Cost(self.planned_images(epochs) * world_size, forward_images)

    def _epoch(self, epoch: int) -> None:
        evaluator, result, start_time = self.evaluator, self.result, time.perf_counter()
        self.seed_noise(epoch)
        for batches in (evaluator.weights, evaluator.alphas):
            batches.set_epoch(epoch)
        self.supernet.train()
        images_before, lr = result.training_images, self.optimizer.param_groups[0]["lr"]
        training = self.train_epoch(epoch)
        if not math.isfinite(training["loss"]):
            raise UserError(
                f"the training loss is {training['loss']} in epoch {epoch}: the search has diverged; "
                "try a lower learning rate"
            )
        self._sync_batchnorm_stats()
        seconds = time.perf_counter() - start_time
        with torch.no_grad():
            snapshot = self.derive(epoch)
        if math.isnan(snapshot.metrics.get("loss", 0.0)):  # the last step of the epoch has spoilt the weights
            raise UserError(
                f"the supernet's outputs are not numbers after epoch {epoch}: the search has diverged; "
                "try a lower learning rate"
            )
        result.genotype, result.score = snapshot.genotype, snapshot.metrics["top1"]
        result.seconds += self.agreed_seconds(start_time)
        result.epochs = epoch + 1
        speed = {
            "lr": lr,
            "images_per_second": (result.training_images - images_before) / seconds,
            "seconds": seconds,
        }
        step = result.epochs * len(evaluator.weights)
        evaluator.recorder.log("train", step, epoch, **training, **speed)
        evaluator.recorder.log("validation", step, epoch, **snapshot.metrics)
        evaluator.recorder.record(epoch, result.genotype, snapshot.mixture, result.score)
        nni.report_intermediate_result(result.score)

    def _sync_batchnorm_stats(self) -> None:
        """Give all processes the mean of BatchNorm's running statistics, which each gathered on its own."""
        if self.evaluator.processes.world_size > 1:
            running = [buffer for buffer in self.supernet.buffers() if buffer.is_floating_point()]
            for buffer, mean in zip(running, all_reduce_mean(running, self.evaluator.processes), strict=True):
                buffer.copy_(mean)

    def _parts(self) -> dict[str, Any]:
        return {"supernet": self.supernet, "optimizer": self.optimizer, "scheduler": self.scheduler}

    def _state(self) -> dict[str, Any]:
        assert self.result.genotype is not None
        return {
            "strategy": type(self).__name__,
            "result": self.result.state_dict(),
            "own": self.search_state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def _load(self, state: dict[str, Any]) -> None:
        try:
            if state["strategy"] not in (type(self).__name__, *self.former_names):
                raise ValueError(f"of {state['strategy']}")
            self._restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = (str(error).strip().splitlines() or [""])[0]
            raise UserError(
                f"the run's checkpoint is of another search ({type(error).__name__}: {why:.100}); start anew "
                "in another folder"
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.result = SearchResult.from_state_dict(state["result"], self.space)
        self.prepare_to_load(state["own"])
        self.load_search_state_dict(state["own"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])


@dataclass(frozen=True)
class Snapshot:
    """What a search has found after an epoch.

    Attributes:
        genotype: the architecture that would be exported now.
        metrics: `loss` and `top1` in percent on validation batches.
        mixture: weights of the candidate operations; empty where the strategy has none.
    """

    genotype: AbstractGenotype
    metrics: dict[str, float]
    mixture: Tables


@dataclass(frozen=True)
class Schedule:
    """How the shared weights are trained.

    Attributes:
        epochs: number of passes over the weight split.
        lr: learning rate of SGD at the start; it falls to `min_lr` on a cosine, epoch by epoch.
        min_lr: learning rate of SGD at the end.
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.
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
        weights: the weight split, which trains the shared weights; a DataLoader, or `Batches`.
        alphas: the alpha split, which trains the architecture parameters.
        validation: the alpha split without augmentation, always in the same shuffled order, so that a few
            batches have images of many classes; None: the alpha split as it is.
        schedule: how the shared weights are trained; None: the published schedule of DARTS.
        recorder: receives the metrics and genotypes of the search; None: nothing is recorded.
        device: device of the supernet.
        resume: the last state that `save` was called with, from which the search resumes; None: a new search.
        save: called with the state after every epoch; it contains tensors, numbers and strings only.
        context: seed, budget and limit of the search.
        processes: the processes that search together.
    """

    def __init__(
        self,
        weights: Batches | DataLoader[Any],
        alphas: Batches | DataLoader[Any],
        validation: Batches | DataLoader[Any] | None = None,
        schedule: Schedule | None = None,
        recorder: Recorder | None = None,
        device: torch.device | str = "cpu",
        resume: dict[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        context: SearchContext | None = None,
        processes: DistributedContext | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.weights, self.alphas = as_batches(weights, self.device), as_batches(alphas, self.device)
        self.validation = self.alphas if validation is None else as_batches(validation, self.device)
        self.schedule, self.recorder = schedule or Schedule(), recorder or SilentRecorder()
        self.resume, self.save = resume, save
        self.context = context or SearchContext()
        self.processes = processes or DistributedContext(device=self.device)


class _SearchEvaluator(Evaluator):  # type: ignore[misc]
    """The evaluator that NNI's engine executes: it runs the strategy's search on the supernet."""

    def __init__(self, strategy: SupernetStrategy[Any]) -> None:
        self.strategy = strategy

    def evaluate(self, model: CellSpace) -> None:
        self.strategy.search(model)
