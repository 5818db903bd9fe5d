"""The progress of a long run: a bar on a terminal, one line per epoch anywhere else."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress:
    """Shows epochs and the steps within them.

    Args:
        title: text next to the bar.
        epochs: number of epochs.
        enabled: whether anything is shown; False on ranks other than 0.
        unit: word for an epoch, such as `candidate`.
    """

    def __init__(self, title: str, epochs: int, enabled: bool = True, unit: str = "epoch") -> None:
        self._epochs, self._enabled, self._unit = epochs, enabled, unit
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit}s, left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not (enabled and self._console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=epochs)

    def expect(self, total: int) -> None:
        """Set the number of epochs."""
        self._epochs = total
        self._bar.update(self._task, total=total)

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Move the bar: `done` of `total` steps of `epoch` (counted from 0) have been taken."""
        self._bar.update(self._task, completed=round(epoch + done / total, 2))

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._enabled:
            self._console.print(text, markup=False)

    def epoch(self, epoch: int, **values: float) -> None:
        """Print the metrics of a finished epoch (counted from 0) on one line."""
        metrics = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        self.line(f"{self._unit} {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  {metrics}")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
