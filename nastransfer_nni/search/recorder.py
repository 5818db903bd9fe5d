"""Reports of a search: to files, TensorBoard, NNI and the screen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from nastransfer_nni.architecture import drawing
from nastransfer_nni.base import files
from nastransfer_nni.base.reading import whole_lines
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tracker import Tracker
from search_spaces import AbstractGenotype
from search_spaces.cells.compiled import kernels
from strategies.interfaces import Tables

GENOTYPES_FILE = "architectures.jsonl"
"""One line per epoch, or per candidate: the current genotype, and the weights of its mixture."""
MAX_DRAWING_SHARE = 0.01
"""Share of the time since the start that drawings may take; what they would take beyond it is left out."""


class SearchRecorder:
    """Writes what a strategy reports: to the tracker, to the screen and to a file with one line per epoch.

    Args:
        run: the open run; only its main process writes.
        tracker: tracker of the run.
        progress: progress bar of the run.
        epochs_done: number of epochs whose lines are kept; later epochs run again.
        stop: called after every step, in all processes; True ends the search there.
    """

    def __init__(
        self,
        run: Run,
        tracker: Tracker,
        progress: EpochProgress,
        epochs_done: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tracker, self._stop = tracker, stop
        self._path, self._progress = (run.path / GENOTYPES_FILE).absolute(), progress
        self._is_main = run.is_main
        if self._is_main:
            files.write_text(self._path, "".join(whole_lines(self._path)[:epochs_done]))
        self._drawn: AbstractGenotype | None = None
        self._epoch = max(epochs_done - 1, 0)
        self._started_at, self._seconds_drawing = time.monotonic(), 0.0
        self._shown: dict[str, float] = {}
        self._has_named_loops = False

    def expect(self, total: int | None) -> None:
        """Set the number of epochs, or of candidates; None: it is not known."""
        self._progress.expect(total)

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Write the metrics of a split at the end of `epoch`, after `step` steps in all."""
        self.tracker.log(split, step, epoch, **values)
        if split == "train":  # the first of an epoch, which may go without a validation
            self._shown = {}
        shown = [name for name in ("loss", "top1", "best_top1", "score", "best_score") if name in values]
        self._shown |= {f"{split}_{name}": values[name] for name in shown}

    def record(self, epoch: int, genotype: AbstractGenotype, mixture: Tables, top1: float) -> None:
        """Write the genotype of an epoch, and draw it in TensorBoard if it has changed and there is time."""
        if not self._is_main:
            return
        line = {
            "epoch": epoch,
            "validation_top1": files.finite(top1),
            "parameter_free_share": genotype.parameter_free_share,
            "genotype": genotype.to_dict(),
            "mixture": mixture,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.tracker.log("architecture", epoch, epoch, parameter_free_share=genotype.parameter_free_share)
        self._epoch = epoch
        if self._seconds_drawing <= MAX_DRAWING_SHARE * (time.monotonic() - self._started_at):
            self.draw(genotype)
        self._progress.epoch(epoch, **self._shown)

    def draw(self, genotype: AbstractGenotype) -> None:
        """Draw the cells of the last epoch in TensorBoard, unless they are drawn already."""
        if not self._is_main or genotype == self._drawn:
            return
        started_at = time.monotonic()
        for kind in genotype.kinds:
            self.tracker.figure(f"cell/{kind}", drawing.draw_cell(genotype, kind), self._epoch)
        self._drawn = genotype
        self._seconds_drawing += time.monotonic() - started_at

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `epoch` have been taken; ends the search if asked to.

        Raises:
            KeyboardInterrupt: `stop` returned True.
        """
        self._progress.advance(epoch, done, total)
        if not self._has_named_loops and kernels.library.cache_info().currsize:  # a step has asked for them
            self._has_named_loops = True
            if kernels.library() is not None:
                self._progress.line("search-time cells run in compiled loops")
        if self._stop():
            raise KeyboardInterrupt
