"""Metrics of a run: to metrics.jsonl, to TensorBoard, inside an NNI trial to NNI, and to chosen services."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from nastransfer_nni.base import files
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.nni_engine.trial import Trial, is_result, is_trial
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.services import Services
from nastransfer_nni.tracking.tensorboard import TensorBoard
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORTED_SPLIT = "validation"
"""The split whose metrics NNI's web UI shows."""


class Tracker:
    """Writes one run's metrics; on ranks other than 0 it writes nothing.

    Args:
        run: the open run.
        epochs_done: number of epochs whose metrics a resumed run keeps; those of later epochs are dropped,
            since these epochs run again.
        services: names of the services that the run is also logged to, such as `mlflow`.
    """

    def __init__(self, run: Run, epochs_done: int = 0, services: Iterable[str] = ()) -> None:
        self._is_main = run.is_main
        if not run.is_main:
            return
        kept = [line for line in read_records(run.metrics) if _epoch(run, line) < epochs_done]
        files.write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._metrics = run.metrics.open("a", encoding="utf-8")
        self._board = TensorBoard(run.tensorboard, epochs_done if run.is_resumed else None)
        self._trial = Trial() if is_trial() else None
        self._texts = {"run": str(run.path.absolute())}
        if self._trial is not None:
            self._trial.offer_tensorboard(run.tensorboard)
        self._last_epoch = max(epochs_done - 1, 0)
        self._services = Services(run, services, [_named(**line) for line in kept])
        for line in kept:  # so that a resumed trial shows the whole curve
            self._report(**line)

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Write one line: the metrics of `split` at the end of `epoch` (from 0), after `step` steps."""
        if not self._is_main:
            return
        line: dict[str, Any] = {"step": step, "epoch": epoch, "split": split}
        line |= {name: files.finite(value) for name, value in values.items()}
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
        self._board.log(split, epoch, values)
        self._services.log(*_named(**line))
        self._last_epoch = epoch
        self._report(**line)

    def figure(self, tag: str, figure: Figure, epoch: int = 0) -> None:
        """Add a matplotlib figure to TensorBoard's images."""
        if self._is_main:
            self._board.figure(tag, figure, epoch)

    def text(self, name: str, text: str) -> None:
        """Add a text: to TensorBoard's texts, and to the trial's result in NNI."""
        if self._is_main:
            self._texts[name] = text
            self._board.text(name, f"```\n{text}\n```", self._last_epoch)

    def hparams(self, **values: object) -> None:
        """Write what tells the run from others: the columns of TensorBoard's HParams table."""
        if self._is_main:
            self._board.hparams(values)
            self._services.params(values)

    def final(self, **values: float) -> None:
        """Write the run's final metrics: to TensorBoard as `final/...`, and to NNI as the trial's result."""
        if not self._is_main:
            return
        self._board.final(values, self._last_epoch)
        self._services.log({f"final/{name}": value for name, value in values.items()}, self._last_epoch)
        if self._trial is not None and is_result(values):
            self._trial.send("FINAL", 0, {**values, **self._texts})

    def close(self) -> None:
        """Flush and close the files."""
        if self._is_main:
            self._metrics.close()
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _report(self, split: str, epoch: int, **values: Any) -> None:
        if self._trial is not None and split == REPORTED_SPLIT and is_result(values):
            self._trial.send("PERIODICAL", epoch, values)


def _epoch(run: Run, line: dict[str, Any]) -> int:
    epoch = line.get("epoch")
    if not isinstance(epoch, int) or not isinstance(line.get("split"), str):
        raise UserError(f"{run.metrics} is damaged: a line has no epoch or split; --overwrite starts anew")
    return epoch


def _named(*, split: str, epoch: int, step: int = 0, **values: float | None) -> tuple[dict[str, float], int]:
    """The metrics of a line by the names that services show, without those that were not finite."""
    return {f"{split}/{name}": value for name, value in values.items() if value is not None}, epoch
