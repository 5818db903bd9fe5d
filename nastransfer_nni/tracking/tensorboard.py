"""TensorBoard's files of a run: scalars and cells by epoch, its row of the HParams table, its charts.

TensorBoard's horizontal axis is the epoch, so that runs with different batches compare.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import custom_scalars
from torch.utils.tensorboard.summary import hparams as hparams_summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    "job",
    "strategy",
    "proxy",
    "search_seed",
    "train_seed",
    "source",
    "target",
    "arch",
    "protocol",
    "epochs",
    "width",
    "layers",
)
"""Hyper-parameters in the HParams table, in this order."""
METRICS = ("top1", "score", "params", "mult_adds", "skips", "parameter_free_share", "best_top1", "top5")
"""Final metrics in the HParams table, in this order."""
JOBS = {"search": "Searches", "transfer": "Transfers"}
"""Kinds of run in the dashboard, with their headings."""
SIDES = ("strategy", "proxy")
"""What the charts of the dashboard are sorted by: a chart for each value, a line for each run."""
CHARTED = ("validation", "top1")
"""Split and metric that the dashboard shows."""

EXPERIMENT, _, _ = hparams_summary(  # type: ignore[no-untyped-call]
    dict.fromkeys(COLUMNS, ""), {f"final/{name}": 0.0 for name in METRICS}
)
"""The columns of the HParams table. TensorBoard takes those that it reads first, so all runs write them."""


class TensorBoard:
    """Writes the event files of one run.

    Args:
        folder: folder of the event files.
        resumed_at: epoch at which a resumed run starts; TensorBoard drops earlier points of that epoch and
            later ones. None: the run is new.
    """

    def __init__(self, folder: Path, resumed_at: int | None) -> None:
        self._writer = SummaryWriter(str(folder.absolute()), purge_step=resumed_at)
        self._started_at = time.time()
        self._end: Any = None
        self._curve: str | None = None

    def log(self, split: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add the metrics of a split at the end of an epoch."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, epoch)
            if self._curve is not None and (split, name) == CHARTED:
                self._writer.add_scalar(self._curve, value, epoch)
        self._writer.flush()

    def figure(self, tag: str, figure: Figure, epoch: int) -> None:
        """Add a figure to the images."""
        self._writer.add_figure(tag, figure, epoch)

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Add Markdown to the texts."""
        self._writer.add_text(tag, text, epoch)

    def hparams(self, values: Mapping[str, object]) -> None:
        """Begin the run's row of the HParams table, and put the run into the dashboard.

        Numbers are written as text, since TensorBoard shows a seed of 3 as 3.0000.
        """
        known = {name: str(value) for name, value in values.items() if value is not None}
        _, start, self._end = hparams_summary(known, {})  # type: ignore[no-untyped-call]
        _set_times(start, start_time_secs=self._started_at)  # torch leaves them at 1970
        self._curve = _curve(known)
        self._add(EXPERIMENT, start, custom_scalars(_layout(known)))  # type: ignore[no-untyped-call]
        self._writer.flush()

    def final(self, values: Mapping[str, float], epoch: int) -> None:
        """Add the final metrics, and end the run's row of the HParams table."""
        for name, value in values.items():
            self._writer.add_scalar(f"final/{name}", value, epoch)
        if self._end is not None:
            _set_times(self._end, end_time_secs=time.time())
            self._add(self._end)
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()

    def _add(self, *summaries: Any) -> None:
        for summary in summaries:
            self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]


def _set_times(summary: Any, **times: float) -> None:
    """Set when the session of an HParams table started or ended, in its summary."""
    metadata = summary.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(metadata.content)
    part = data.session_start_info if data.HasField("session_start_info") else data.session_end_info
    for name, value in times.items():
        setattr(part, name, value)
    metadata.content = data.SerializeToString()


def _curve(values: Mapping[str, str]) -> str | None:
    """Tag of the run's curve in the dashboard; None for a run that has no place there."""
    job = values.get("job")
    if job not in JOBS:
        return None
    sides = (_word(values.get(side, "none")) for side in SIDES)
    return "/".join((f"{job}_{_word(_images(values))}", *sides))


def _images(values: Mapping[str, str]) -> str:
    """The image set whose validation images a curve is about."""
    return values.get("target") or values.get("source") or "unknown"


def _word(text: str) -> str:
    """The text without what a part of a tag may not have."""
    return re.sub(r"[^\w.-]+", "_", text)


def _layout(values: Mapping[str, str]) -> dict[str, dict[str, tuple[str, list[str]]]]:
    """The headings of the dashboard with the run's charts, which TensorBoard merges over the runs.

    Every run has all headings: TensorBoard drops charts under a heading that the first run lacks.
    """
    curve = _curve(values)
    layout: dict[str, dict[str, tuple[str, list[str]]]] = {
        f"{heading} by {side}": {} for heading in JOBS.values() for side in SIDES
    }
    if curve is not None:
        what, *words = map(re.escape, curve.split("/"))
        for place, side in enumerate(SIDES):
            pattern = "/".join([what, *(word if at == place else "[^/]+" for at, word in enumerate(words))])
            title = f"{values.get(side, 'none')}: validation top-1 on {_images(values)}"
            layout[f"{JOBS[values['job']]} by {side}"] = {title: ("Multiline", [f"{pattern}$"])}
    return layout
