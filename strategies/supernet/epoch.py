"""An epoch of a search on shared weights: training, validation, and what is recorded of both."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from search_spaces import AbstractGenotype
from search_spaces.errors import UserError
from search_spaces.nni_api import nni
from strategies.distributed import all_reduce_mean
from strategies.interfaces import Tables

if TYPE_CHECKING:
    from strategies.supernet.strategy import SupernetStrategy


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


def run_epoch(strategy: SupernetStrategy[Any], epoch: int) -> None:
    """Train and validate for one epoch, and record what came of it.

    Raises:
        UserError: the search has diverged.
    """
    evaluator, result, start_time = strategy.evaluator, strategy.result, time.perf_counter()
    strategy.seed_noise(epoch)
    for batches in (evaluator.weights, evaluator.alphas):
        batches.set_epoch(epoch)
    strategy.supernet.train()
    images_before, lr = result.training_images, strategy.optimizer.param_groups[0]["lr"]
    training = strategy.train_epoch(epoch)
    if not math.isfinite(training["loss"]):
        raise _diverged(f"the training loss is {training['loss']} in epoch {epoch}")
    _sync_batchnorm_stats(strategy)
    seconds = time.perf_counter() - start_time
    with torch.no_grad():
        snapshot = strategy.derive(epoch)
    if math.isnan(snapshot.metrics.get("loss", 0.0)):  # the last step of the epoch has spoilt the weights
        raise _diverged(f"the supernet's outputs are not numbers after epoch {epoch}")
    result.genotype, result.score = snapshot.genotype, snapshot.metrics["top1"]
    result.seconds += strategy.agreed_seconds(start_time)
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


def _diverged(sign: str) -> UserError:
    return UserError(f"{sign}: the search has diverged; try a lower learning rate")


def _sync_batchnorm_stats(strategy: SupernetStrategy[Any]) -> None:
    """Give all processes the mean of BatchNorm's running statistics, which each gathered on its own."""
    processes = strategy.evaluator.processes
    if processes.world_size > 1:
        running = [buffer for buffer in strategy.supernet.buffers() if buffer.is_floating_point()]
        for buffer, mean in zip(running, all_reduce_mean(running, processes), strict=True):
            buffer.copy_(mean)
