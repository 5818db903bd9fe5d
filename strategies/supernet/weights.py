"""The shared weights of a supernet: their optimizer, its schedule and a step."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces.nni_api import OneShotStrategy
from strategies.distributed import all_reduce_mean
from strategies.meters import Meter
from strategies.options import Options
from strategies.result import SearchResult
from strategies.supernet.evaluator import SupernetEvaluator
from strategies.supernet.sgd import take_step

OptionsT = TypeVar("OptionsT", bound=Options)


class SharedWeights(OneShotStrategy, Generic[OptionsT], ABC):  # type: ignore[misc]
    """What all strategies on shared weights have to train them.

    Several processes search as one: each computes its share of every batch, gradients are averaged before any
    step, and metrics are summed. Only BatchNorm sees no more than its share, as in data-parallel training.

    Attributes:
        options: options of the strategy.
        result: result of the search so far.
        evaluator: data, schedule and records of the search; set before `setup` is called.
        optimizer: SGD of the shared weights; set after `setup` was called.
        scheduler: sets the optimizer's learning rate after every epoch.
    """

    evaluator: SupernetEvaluator
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler

    def __init__(self, options: OptionsT) -> None:
        super().__init__()
        self.options = options
        self.result = SearchResult()

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

    def graphed(self, steps: dict[str, Callable[..., Any]]) -> list[Callable[..., Any]]:
        """The steps of an epoch, by name, as CUDA graphs where the search has them; see `Graphs.of_epoch`."""
        graphs = self.evaluator.compute.graphs
        return graphs.of_epoch(self.result, steps) if graphs else list(steps.values())

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
        take_step(self.optimizer)

    def count_images(self, labels: Tensor) -> None:
        """Add a batch, of which `labels` [B] is this process's share, to the images backpropagated."""
        self.result.training_images += len(labels) * self.evaluator.processes.world_size

    def count_forward(self, labels: Tensor) -> None:
        """Add a batch, of which `labels` [B] is this process's share, to the images without a gradient."""
        self.result.forward_images += len(labels) * self.evaluator.processes.world_size

    def meter(self) -> Meter:
        """A new meter of loss and accuracy, over the images of all processes."""
        return Meter(self.evaluator.processes)
