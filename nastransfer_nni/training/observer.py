"""How a training stands, what it came to, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from nastransfer_nni.training.evaluation import Accuracy


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: the epoch under way, from 0.
        step: optimizer steps of it that are done.
        top1: the score of every epoch so far.
        seconds: time spent so far, in all processes that worked on the run one after the other.
    """

    epoch: int = 0
    step: int = 0
    top1: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """What training came to.

    Attributes:
        final: accuracy after the last epoch, of the averaged weights where the protocol keeps such.
        best_top1: top1 of the best epoch; for a look, not for statistics.
        best_epoch: that epoch, from 0.
        seconds: training time in all, evaluation included.
    """

    final: Accuracy
    best_top1: float
    best_epoch: int
    seconds: float


class Observer:
    """Is told what happens; what it does not override it ignores."""

    def started(self, progress: Progress, steps: int) -> None:
        """Training starts, or goes on, at `progress`; an epoch has `steps` steps."""

    def step_done(self, progress: Progress, steps: int) -> None:
        """An optimizer step is done."""

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        """An epoch, from 0, is done after `step` steps in all; the figures of its two parts."""
