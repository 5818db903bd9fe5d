"""Metrics of a run: all go to metrics.jsonl, to TensorBoard and, inside an NNI trial, to NNI."""

from __future__ import annotations

import json
import math
import os
import time
from typing import TYPE_CHECKING, Any, Self

from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summary

from nastransfer_nni.base import files
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.nni_engine.trial import Trial
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORTED_SPLIT = "validation"
"""The split whose top1 NNI's web UI shows."""


class Tracker:
    """Writes one run's metrics; on ranks other than 0 it writes nothing.

    TensorBoard's horizontal axis is the epoch, so that runs with different batches compare.

    Args:
        run: the open run.
        epochs_done: number of epochs whose metrics a resumed run keeps; those of later epochs are dropped,
            since these epochs run again.
    """

    def __init__(self, run: Run, epochs_done: int = 0) -> None:
        self._is_main, self._started_at = run.is_main, time.time()
        if not run.is_main:
            return
        kept = [line for line in read_records(run.metrics) if _epoch(run, line) < epochs_done]
        files.write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._metrics = run.metrics.open("a", encoding="utf-8")
        purge_step = epochs_done if run.is_resumed else None
        self._writer = SummaryWriter(str(run.tensorboard.absolute()), purge_step=purge_step)
        self._trial = Trial() if "NNI_TRIAL_JOB_ID" in os.environ else None
        self._last_epoch = max(epochs_done - 1, 0)
        for line in kept:  # so that a resumed trial shows the whole curve
            self._report(**line)

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Write one line: the metrics of `split` at the end of `epoch` (from 0), after `step` steps."""
        if not self._is_main:
            return
        line: dict[str, Any] = {"step": step, "epoch": epoch, "split": split}
        line |= {name: _plain(value) for name, value in values.items()}
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, epoch)
        self._writer.flush()
        self._last_epoch = epoch
        self._report(**line)

    def figure(self, tag: str, figure: Figure, epoch: int = 0) -> None:
        """Add a matplotlib figure to TensorBoard's images."""
        if self._is_main:
            self._writer.add_figure(tag, figure, epoch)

    def text(self, tag: str, text: str, epoch: int = 0) -> None:
        """Add Markdown to TensorBoard's texts."""
        if self._is_main:
            self._writer.add_text(tag, text, epoch)

    def hparams(self, **values: Any) -> None:
        """Write hyper-parameters, the columns of TensorBoard's HParams table.

        No experiment summary is written: with one, TensorBoard takes the columns of the run that it reads
        first; without one, it joins the columns of all runs.
        """
        if self._is_main:
            known = {
                name: value if isinstance(value, str | int | float) else str(value)
                for name, value in values.items()
                if value is not None
            }
            _, start, end = hparams_summary(known, {})  # type: ignore[no-untyped-call]
            _set_times(start, end, self._started_at)  # torch leaves them at 1970
            self._writer._get_file_writer().add_summary(start)  # type: ignore[no-untyped-call]
            self._writer._get_file_writer().add_summary(end)  # type: ignore[no-untyped-call]

    def final(self, **values: float) -> None:
        """Write the run's final metrics: to TensorBoard as `final/...`, and to NNI as the trial's result."""
        if not self._is_main:
            return
        for name, value in values.items():
            self._writer.add_scalar(f"final/{name}", value, self._last_epoch)
        self._writer.flush()
        if self._trial is not None and "top1" in values:
            self._trial.send("FINAL", 0, values)

    def close(self) -> None:
        """Flush and close the files."""
        if self._is_main:
            self._metrics.close()
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _report(self, split: str, epoch: int, **values: Any) -> None:
        if self._trial is not None and split == REPORTED_SPLIT and values.get("top1") is not None:
            self._trial.send("PERIODICAL", epoch, values)


def _epoch(run: Run, line: dict[str, Any]) -> int:
    epoch = line.get("epoch")
    if not isinstance(epoch, int) or not isinstance(line.get("split"), str):
        raise UserError(f"{run.metrics} is damaged: a line has no epoch or split; --overwrite starts anew")
    return epoch


def _set_times(start: Any, end: Any, started_at: float) -> None:
    """Set when the session of an HParams table started and ended, in its two summaries."""
    metadata = [summary.value[0].metadata.plugin_data for summary in (start, end)]
    first, last = (HParamsPluginData.FromString(each.content) for each in metadata)
    first.session_start_info.start_time_secs = started_at
    last.session_end_info.end_time_secs = time.time()
    for each, data in zip(metadata, (first, last), strict=True):
        each.content = data.SerializeToString()


def _plain(value: float) -> float | None:
    """The value for JSON, which has neither NaN nor infinity: None stands for both."""
    return float(value) if math.isfinite(value) else None
