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
        metrics: `loss` and `top1` in percent on validation batches; empty where the epoch is not validated.
        mixture: weights of the candidate operations; empty where the strategy has none.
    """

    genotype: AbstractGenotype
    metrics: dict[str, float]
    mixture: Tables


def run_epoch(strategy: SupernetStrategy[Any], epoch: int) -> None:
    """Train for one epoch, validate where it is time, and record what came of it.

    Raises:
        UserError: the search has diverged.
    """
    evaluator, result, start_time = strategy.evaluator, strategy.result, time.perf_counter()
    training = _train(strategy, epoch)
    done = epoch + 1
    strategy.validates = done % evaluator.val_interval == 0 or done == strategy.epochs
    snapshot = _derive(strategy, epoch, start_time)
    result.epochs = done
    if not strategy.validates and (strategy.is_over() or strategy.is_out_of_time):
        strategy.validates = True  # the search ends before its last epoch
        snapshot = _derive(strategy, epoch, time.perf_counter())
    step = done * len(evaluator.weights)
    top1 = snapshot.metrics.get("top1", math.nan)
    evaluator.recorder.log("train", step, epoch, **training)
    if snapshot.metrics:
        evaluator.recorder.log("validation", step, epoch, **snapshot.metrics)
    evaluator.recorder.record(epoch, snapshot.genotype, snapshot.mixture, top1)
    if snapshot.metrics:
        nni.report_intermediate_result(top1)


def _train(strategy: SupernetStrategy[Any], epoch: int) -> dict[str, float]:
    """Train for one epoch; returns the metrics of the training split, with learning rate and speed."""
    evaluator, result, start_time = strategy.evaluator, strategy.result, time.perf_counter()
    strategy.seed_noise(epoch)
    for batches in (evaluator.weights, evaluator.alphas):
        batches.set_epoch(epoch)
    strategy.supernet.train()
    images_before, lr = result.training_images, strategy.optimizer.param_groups[0]["lr"]
    with evaluator.compute.autocast(evaluator.device):
        metrics = strategy.train_epoch(epoch)
    if not math.isfinite(metrics["loss"]):
        raise _diverged(f"the training loss is {metrics['loss']} in epoch {epoch}")
    _sync_batchnorm_stats(strategy)
    seconds = time.perf_counter() - start_time
    images_per_second = (result.training_images - images_before) / seconds
    return {**metrics, "lr": lr, "images_per_second": images_per_second, "seconds": seconds}


def _derive(strategy: SupernetStrategy[Any], epoch: int, start_time: float) -> Snapshot:
    """Derive the genotype, which becomes the result; the search has taken the time since `start_time`."""
    result = strategy.result
    with torch.no_grad(), strategy.evaluator.compute.autocast(strategy.evaluator.device):
        snapshot = strategy.derive(epoch)
    if math.isnan(snapshot.metrics.get("loss", 0.0)):  # the last step of the epoch has spoilt the weights
        raise _diverged(f"the supernet's outputs are not numbers after epoch {epoch}")
    result.genotype = snapshot.genotype
    result.score = snapshot.metrics.get("top1", result.score)
    result.seconds += strategy.agreed_seconds(start_time)
    return snapshot


def _diverged(sign: str) -> UserError:
    return UserError(f"{sign}: the search has diverged; try a lower learning rate")


def _sync_batchnorm_stats(strategy: SupernetStrategy[Any]) -> None:
    """Give all processes the mean of BatchNorm's running statistics, which each gathered on its own."""
    processes = strategy.evaluator.processes
    if processes.world_size > 1:
        running = [buffer for buffer in strategy.supernet.buffers() if buffer.is_floating_point()]
        for buffer, mean in zip(running, all_reduce_mean(running, processes), strict=True):
            buffer.copy_(mean)
