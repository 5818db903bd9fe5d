"""Learning-rate schedules of published code that timm does not have."""

from __future__ import annotations

import torch
from timm.scheduler.scheduler import Scheduler

TAIL = 5
"""Epochs at the end of P-DARTS's schedule, in which the learning rate falls more slowly."""


class PDartsSchedule(Scheduler):  # type: ignore[misc]
    """The schedule of P-DARTS (Chen et al., ICCV 2019) on ImageNet.

    The learning rate falls linearly, and would be 0 at `TAIL` epochs before the end; in the last epochs it
    falls at a fifth of the slope (chenxin061/pdarts, train_imagenet.py, lines 185-193). In warm-up it is
    multiplied by (epoch + 1) / warmup_epochs (lines 155-158).

    Args:
        optimizer: optimizer with the learning rates before any schedule.
        epochs: number of epochs; of at most twice `TAIL`, none belongs to the tail.
        warmup_epochs: epochs of warm-up.
        steps: optimizer steps per epoch, if the learning rate changes with every step; 0: every epoch.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, epochs: int, warmup_epochs: int, steps: int = 0
    ) -> None:
        super().__init__(optimizer, "lr", t_in_epochs=not steps, initialize=True)
        self._epochs, self._warmup_epochs, self._steps = epochs, warmup_epochs, max(steps, 1)
        self._tail = TAIL if epochs > 2 * TAIL else 0

    def _get_lr(self, t: int) -> list[float]:
        epoch = t / self._steps
        length = self._epochs - self._tail
        if self._epochs - epoch > self._tail:
            share = (length - epoch) / length
        else:
            share = (self._epochs - epoch) / (length * self._tail)
        if epoch < self._warmup_epochs:
            share *= (epoch + 1) / self._warmup_epochs
        return [lr * share for lr in self.base_values]
