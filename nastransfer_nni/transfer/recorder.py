"""Reports of a transfer: to files, TensorBoard, NNI and the screen."""

from __future__ import annotations

from typing import Any

from nastransfer_nni.architecture import drawing
from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tracker import Tracker
from nastransfer_nni.training.observer import Observer, Progress


class Recorder(Observer):
    """Writes what training reports, to the tracker and to the screen.

    Args:
        run: the open run.
        progress: progress bar of the run.
    """

    def __init__(self, run: Run, progress: EpochProgress) -> None:
        self._run, self._progress = run, progress
        self._tracker: Tracker | None = None

    def started(self, progress: Progress, steps: int) -> None:
        """Open the tracker at the epoch where training starts or resumes."""
        self._tracker = Tracker(self._run, progress.epoch)
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
        """Write the final metrics, the hyper-parameters and the drawn cells."""
        assert self._tracker is not None
        for kind in architecture.genotype.kinds:
            self._tracker.figure(f"cell/{kind}", drawing.draw_cell(architecture.genotype, kind))
        shown = ("target", "protocol", "train_seed", "arch", "width", "layers", "epochs")
        self._tracker.hparams(
            **{name: architecture.found_by.get(name) for name in ("strategy", "source", "proxy")},
            search_seed=architecture.found_by.get("seed"),
            **{name: summary[name] for name in shown},
        )
        self._tracker.final(
            **{name: summary[name] for name in ("top1", "top5", "best_top1", "params", "mult_adds")}
        )
        self._tracker.close()
