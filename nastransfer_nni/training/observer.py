"""What training reports: its progress, its result, and the interface of those who receive the reports."""

from __future__ import annotations

from dataclasses import dataclass, field

from strategies.meters import Metrics


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: current epoch, from 0.
        step: optimizer steps that are done in the current epoch.
        top1: top-1 in percent after every finished epoch; NaN where it was not evaluated.
        seconds: training time so far, summed over all processes that resumed each other.
        cpu_seconds: processor time of that, over all threads.
    """

    epoch: int = 0
    step: int = 0
    top1: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """The result of a training.

    Attributes:
        final: metrics after the last epoch, of the averaged weights where the recipe keeps an average.
        best_top1: top-1 in percent of the best epoch. It is selected on the images that it is measured on, so
            it must not be used for comparisons.
        best_epoch: that epoch, from 0.
        seconds: training time, including evaluation.
        cpu_seconds: processor time of that, over all threads of this process.
    """

    final: Metrics
    best_top1: float
    best_epoch: int
    seconds: float
    cpu_seconds: float


class Observer:
    """Receives the reports of a training; override the methods that matter, the others do nothing."""

    def started(self, progress: Progress, steps: int) -> None:
        """Training starts or resumes at `progress`; an epoch has `steps` optimizer steps."""

    def step_done(self, progress: Progress, steps: int) -> None:
        """An optimizer step is done."""

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        """An epoch is done.

        Args:
            epoch: the epoch, from 0.
            step: optimizer steps since the start of training.
            train: metrics of the training split: loss, lr, images_per_second, seconds and, where images are
                not mixed, top1 and top5 in percent.
            validation: metrics of the evaluation split: loss, top1 and top5 in percent, seconds; empty after
                an epoch that was not evaluated.
        """
