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
"""Hyper-parameters in the HParams table; TensorBoard shows five of them until told otherwise."""
SHOWN_FIRST = ("job", "strategy", "proxy", "search_seed", "train_seed")
"""Those that it shows: it sorts them by whether they are said to differ between runs, then by name."""
METRICS = ("top1", "params", "mult_adds", "skips", "parameter_free_share", "score", "best_top1", "top5")
"""Final metrics in the HParams table, in this order."""
JOBS = {"search": "Searches", "transfer": "Transfers"}
"""Kinds of run in the dashboard, with their headings."""
SIDES = ("strategy", "proxy")
"""What the charts of the dashboard are sorted by: a chart for each value, a line for each run."""
CHARTED = ("validation", "top1")
"""Split and metric that the dashboard shows."""


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
        self._charts: _Charts | None = None
        self._has_charts = False

    def log(self, split: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add the metrics of a split at the end of an epoch."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, epoch)
            if self._charts is not None and (split, name) == CHARTED:
                self._chart(self._charts, value, epoch)
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
        self._charts = _Charts(known) if known.get("job") in JOBS else None
        self._add(_table(), start)
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

    def _chart(self, charts: _Charts, value: float, epoch: int) -> None:
        """Add a point to the run's curve in the dashboard, and before the first one its charts."""
        if not self._has_charts:
            self._add(custom_scalars(charts.layout()))  # type: ignore[no-untyped-call]
            self._has_charts = True
        self._writer.add_scalar(charts.curve, value, epoch)

    def _add(self, *summaries: Any) -> None:
        for summary in summaries:
            self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]


class _Charts:
    """The place of a run in the dashboard: a curve of its own, in a chart for each of `SIDES`.

    Args:
        values: the hyper-parameters of the run.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._job, self._images = values["job"], values.get("target") or values.get("source", "unknown")
        self._sides = {side: values.get(side, "none") for side in SIDES}
        self._parts = [_word(f"{self._job}_{self._images}"), *map(_word, self._sides.values())]

    @property
    def curve(self) -> str:
        """Tag of the curve."""
        return "/".join(self._parts)

    def layout(self) -> dict[str, dict[str, tuple[str, list[str]]]]:
        """All headings of the dashboard with the charts of the run, which TensorBoard merges over the runs.

        It drops charts under a heading that the first run lacks, so each run has all headings.
        """
        layout: dict[str, dict[str, tuple[str, list[str]]]] = {
            _heading(job, side): {} for job in JOBS for side in SIDES
        }
        for place, (side, value) in enumerate(self._sides.items(), start=1):
            shown = [re.escape(part) if at in (0, place) else "[^/]+" for at, part in enumerate(self._parts)]
            chart = {f"{value} on {self._images}": ("Multiline", ["/".join(shown) + "$"])}
            layout[_heading(self._job, side)] = chart
        return layout


def _heading(job: str, side: str) -> str:
    return f"{JOBS[job]} by {side}: validation top-1"


def _word(text: str) -> str:
    """The text without what a part of a tag may not have."""
    return re.sub(r"[^\w.-]+", "_", text)


def _table() -> Any:
    """The columns of the HParams table. TensorBoard takes the first that it reads, so all runs write them."""
    metrics = {f"final/{name}": 0.0 for name in METRICS}
    table, _, _ = hparams_summary(dict.fromkeys(COLUMNS, ""), metrics)  # type: ignore[no-untyped-call]
    metadata = table.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(metadata.content)
    for column in data.experiment.hparam_infos:
        column.differs = column.name in SHOWN_FIRST
    metadata.content = data.SerializeToString()
    return table


def _set_times(summary: Any, **times: float) -> None:
    """Set when the session of an HParams table started or ended, in its summary."""
    metadata = summary.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(metadata.content)
    part = data.session_start_info if data.HasField("session_start_info") else data.session_end_info
    for name, value in times.items():
        setattr(part, name, value)
    metadata.content = data.SerializeToString()
