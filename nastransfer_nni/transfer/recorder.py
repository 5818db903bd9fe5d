"""Reports of a transfer: to files, TensorBoard, NNI and the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nastransfer_nni.architecture import drawing
from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tracker import Tracker
from nastransfer_nni.training.observer import Observer, Progress

FINAL = ("top1", "top5", "best_top1", "params", "mult_adds", "skips", "parameter_free_share")
"""The final metrics of a transfer."""


class Recorder(Observer):
    """Writes what training reports, to the tracker and to the screen.

    Args:
        run: the open run.
        progress: progress bar of the run.
        hparams: what tells the run from others.
        services: names of the services that the run is also logged to.
    """

    def __init__(
        self,
        run: Run,
        progress: EpochProgress,
        hparams: Mapping[str, object],
        services: Sequence[str] = (),
    ) -> None:
        self._run, self._progress, self._hparams, self._services = run, progress, hparams, services
        self._tracker: Tracker | None = None

    def started(self, progress: Progress, steps: int) -> None:
        """Open the tracker at the epoch where training starts or resumes."""
        self._tracker = Tracker(self._run, progress.epoch, self._services)
        self._tracker.hparams(**self._hparams)
        if self._run.is_resumed and (progress.epoch or progress.step):
            self._progress.line(f"resuming at epoch {progress.epoch + 1}, step {progress.step} of {steps}")

    def step_done(self, progress: Progress, steps: int) -> None:
        """Move the bar."""
        self._progress.advance(progress.epoch, progress.step, steps)

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        """Write the metrics of the training and of the evaluation split."""
        assert self._tracker is not None
        self._tracker.log("train", step, epoch, **train)
        shown = {f"train_{name}": train[name] for name in ("loss", "top1") if name in train}
        if validation:
            self._tracker.log("validation", step, epoch, **validation)
            shown |= {name: validation[name] for name in ("loss", "top1", "top5")}
        self._progress.epoch(epoch, **shown, images_per_second=train["images_per_second"])

    def finish(self, architecture: Architecture, summary: dict[str, Any]) -> None:
        """Write the final metrics and the drawn cells."""
        assert self._tracker is not None
        for kind in architecture.genotype.kinds:
            self._tracker.figure(f"cell/{kind}", drawing.draw_cell(architecture.genotype, kind))
        self._tracker.text("genotype", summary["genotype"])
        self._tracker.final(**{name: summary[name] for name in FINAL})
        self._tracker.close()
