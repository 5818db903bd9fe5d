"""The progress of a long run: a bar on a terminal, one line per epoch anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30.0
"""Time after which a line tells the step within an epoch, where there is no bar."""
MIN_WIDTH = 60
"""Columns of a terminal below which only the numbers are shown."""


class EpochProgress:
    """Shows epochs and the steps within them.

    Args:
        title: text next to the bar.
        epochs: number of epochs.
        enabled: whether anything is shown; False on ranks other than 0.
        unit: word for an epoch, such as `candidate`.
    """

    def __init__(self, title: str, epochs: int, enabled: bool = True, unit: str = "epoch") -> None:
        self._epochs: int | None = epochs
        self._enabled, self._unit = enabled, unit
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        is_wide = self._console.width >= MIN_WIDTH
        self._bar = Progress(
            *((TextColumn("{task.description}"), BarColumn()) if is_wide else ()),
            MofNCompleteColumn(),
            TextColumn(f"{unit}s, left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not (enabled and self._console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=epochs)
        self._said_at = time.monotonic()

    def expect(self, total: int | None) -> None:
        """Set the number of epochs; None: it is not known."""
        self._epochs = total
        self._bar.update(self._task, total=total)

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Move the bar: `done` of `total` steps of `epoch` (counted from 0) have been taken.

        Without a terminal, a line says it now and then.
        """
        self._bar.update(self._task, completed=round(epoch + done / total, 2))
        if not self._console.is_terminal and time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES:
            self.line(f"{self._numbered(epoch)}  step {done:,} of {total:,}")

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._enabled:
            self._console.print(text, markup=False)
            self._said_at = time.monotonic()

    def epoch(self, epoch: int, **values: float) -> None:
        """Print the metrics of a finished epoch (counted from 0) on one line."""
        metrics = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        self.line(f"{self._numbered(epoch)}  {metrics}")

    def _numbered(self, epoch: int) -> str:
        """Which epoch it is; what comes after the last one is the choice of a cell."""
        if self._epochs is None:
            return f"{self._unit} {epoch + 1}"
        if epoch >= self._epochs:
            return "final choice"
        return f"{self._unit} {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
