"""The frame of a search on shared weights: what a strategy fills in, what NNI calls, and the search."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from search_spaces import Space
from search_spaces.errors import UserError
from search_spaces.model_space import CellSpace, SearchedCell
from search_spaces.nni_api import Evaluator, RawFormatModelSpace, nni, no_default_hook
from strategies.budget import Cost
from strategies.supernet import checkpoint
from strategies.supernet.epoch import Snapshot, run_epoch
from strategies.supernet.evaluator import SupernetEvaluator
from strategies.supernet.weights import OptionsT, SharedWeights


class SupernetStrategy(SharedWeights[OptionsT]):
    """Base of the strategies that search on shared weights.

    A subclass names its search-time cell (`search_cell`), creates what it learns besides the weights
    (`setup`), trains an epoch (`train_epoch`) and derives a genotype after it (`derive`).

    Attributes:
        space: the search space; set before `setup` is called.
        epochs: number of epochs of the search; set before `setup` is called.
        validates: whether `derive` is to validate; False after an epoch that the search leaves unvalidated.
    """

    former_names: ClassVar[tuple[str, ...]] = ()
    """Names of the class in older checkpoints."""

    space: Space
    epochs: int
    validates: bool = True

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
        """Validate the supernet, if `validates` says so, and derive the current genotype.

        Called under `torch.no_grad` after every epoch, and once more where an epoch turns out to be the last.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Change what the search changes between two epochs; called before each."""

    def prepare_to_load(self, state: dict[str, Any]) -> None:
        """Give the supernet the form that it had when `search_state_dict` returned `state`."""

    def is_over(self) -> bool:
        """Whether the search stops before its last epoch; called before each."""
        return False

    def why_eager(self) -> str:
        """Why the search cannot take its steps as CUDA graphs; empty where it can."""
        return "each step trains other candidates"

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
        self._check_graphs()
        self.epochs = self.options.total_epochs(self._epochs_within_budget())
        self.setup()
        evaluator.recorder.expect(self.epochs)
        self.renew_optimizer(self.cosine_epochs())
        if evaluator.resume is not None:
            checkpoint.load(self, evaluator.resume)
        while self.result.epochs < self.epochs and not (self.is_over() or self.is_out_of_time):
            self.begin_epoch(self.result.epochs)
            if self.result.epochs and self.is_out_of_time:  # some strategies score candidates before an epoch
                break
            run_epoch(self, self.result.epochs)
            self.scheduler.step()
            evaluator.save(checkpoint.state_of(self))
        self.epochs = self.result.epochs
        self.select_final()
        nni.report_final_result(self.result.score)

    def _check_graphs(self) -> None:
        """Say why there are no CUDA graphs, where they are asked for and cannot be had."""
        is_alone = self.evaluator.processes.world_size == 1
        why = self.why_eager() or ("" if is_alone else "several processes add up their gradients")
        if self.evaluator.compute.graphs and why:
            self.evaluator.compute.graphs.turn_off(why)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Random generator of one purpose, so that a resumed search draws what it would have drawn."""
        return np.random.default_rng([self.evaluator.context.seed, *purpose])

    def seed_noise(self, *purpose: int) -> None:
        """Seed what the operation `noise` draws, if there is one, so that a resumed search draws the same."""
        if self.space.draws_noise:
            torch.manual_seed(int(self.rng(*purpose, 6, self.evaluator.processes.rank).integers(2**62)))

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

    def _epochs_within_budget(self) -> int:
        """Number of whole epochs within the budget's images; without such a budget, those of the schedule."""
        evaluator, more = self.evaluator, 1 + self.evaluator.val_interval
        fitting = evaluator.context.allowance.most(self.planned_cost, "epoch", more)
        return fitting or evaluator.schedule.epochs

    def cosine_epochs(self) -> int:
        """Number of epochs in which the learning rate falls to its minimum."""
        return self.epochs

    def planned_images(self, epochs: int) -> int:
        """Number of images that this process backpropagates in a search of so many epochs."""
        return sum(self.training_images(epoch) for epoch in range(epochs))

    def planned_cost(self, epochs: int) -> Cost:
        """Images that all processes take in a search of so many epochs, its choice of a genotype included."""
        evaluator, world_size = self.evaluator, self.evaluator.processes.world_size
        in_process = (evaluator.weights.samples, evaluator.validation.samples, evaluator.weights.batch_size)
        weight_images, alpha_images, batch_size = (number * world_size for number in in_process)
        cost = self.options.cost(
            epochs,
            weight_images=weight_images,
            alpha_images=alpha_images,
            batch_size=batch_size,
            val_interval=evaluator.val_interval,
        )
        return replace(cost, images=self.planned_images(epochs) * world_size)


class _SearchEvaluator(Evaluator):  # type: ignore[misc]
    """The evaluator that NNI's engine executes: it runs the strategy's search on the supernet."""

    def __init__(self, strategy: SupernetStrategy[Any]) -> None:
        self.strategy = strategy

    def evaluate(self, model: CellSpace) -> None:
        self.strategy.search(model)
