"""A run's folder, read back: its options, metrics, summary and architecture."""

from __future__ import annotations

import html
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.files import pretty
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.tracking.directory import Status, read_config, read_status, read_summary
from search_spaces.errors import UserError

if TYPE_CHECKING:  # imported where they are needed: a record itself is read without them
    import pandas as pd
    from matplotlib.figure import Figure


class RunRecord:
    """A search or a transfer, as its folder has it.

    Args:
        path: folder of the run.

    Attributes:
        path: folder of the run.
        command: `search` or `transfer`.
        options: every option, resolved, as JSON values.

    Raises:
        UserError: the folder holds no run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)
        config = read_config(self.path)
        if config is None:
            raise UserError(f"{path} holds no run: it has no config.yaml that a run has written")
        self.command: str = config["command"]
        self.options: dict[str, Any] = config["options"]

    @property
    def status(self) -> Status:
        """Status of the run: running, completed, failed or interrupted."""
        return read_status(self.path) or "interrupted"

    @property
    def summary(self) -> dict[str, Any]:
        """Final metrics and cost; empty before the run is complete."""
        return (read_summary(self.path) or {}) if self.status == "completed" else {}

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy in percent: of a transfer on its target, of a search as its strategy saw it."""
        return self.summary.get("top1")

    @property
    def architecture(self) -> Architecture:
        """The architecture that was found or trained.

        Raises:
            UserError: the run is not complete.
        """
        file = self.path / "architecture.json"
        if not file.is_file():
            raise UserError(f"{self.path} has no architecture.json; the run is {self.status}")
        return read(str(file))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Metrics, one row per epoch and split.

        Returns:
            Columns `step`, `epoch` (from 0), `split`, and those that the run has of `loss`, `top1` and `top5`
            in percent, `lr`, `images_per_second`, `seconds`.
        """
        import pandas as pd

        return pd.DataFrame(read_records(self.path / "metrics.jsonl"))

    def plot(self) -> Figure:
        """Top-1 accuracy and loss over the epochs, one line per split."""
        from matplotlib.ticker import MaxNLocator

        from nastransfer_nni.api.picture import Picture

        figure = Picture(figsize=(9, 3.2), layout="constrained")
        for axes, (name, label) in zip(
            figure.subplots(1, 2), (("top1", "top-1 accuracy, %"), ("loss", "loss")), strict=True
        ):
            for split, rows in self.metrics.groupby("split") if len(self.metrics) else ():
                if name in rows and rows[name].notna().any():
                    axes.plot(rows["epoch"] + 1, rows[name], marker="o", markersize=3, label=str(split))
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylabel(label)
            axes.spines[["top", "right"]].set_visible(False)
            if axes.lines:
                axes.legend(frameon=False)
        return figure

    def __repr__(self) -> str:
        top1 = "" if self.top1 is None else f", top1 {self.top1:.2f}"
        return f"<{self.command} {self.path}: {self.status}{top1}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the summary, and the drawn cells once the run is complete."""
        drawn = [file.read_text("utf-8") for file in sorted(self.path.glob("cell*.svg"))]
        svgs = ["".join(text.partition("<svg")[1:]) for text in drawn]  # without XML's declaration
        pictures = "".join(f'<div style="max-width:720px">{svg}</div>' for svg in svgs)
        text = html.escape(pretty(self.summary)) if self.summary else ""
        return (
            f"<b>{html.escape(repr(self).strip('<>'))}</b><details><summary>summary</summary><pre>{text}</pre>"
            f"</details>{pictures}"
        )
