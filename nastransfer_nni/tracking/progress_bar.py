"""What a long run shows while it runs: a bar on a terminal, a line an epoch anywhere else."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress:
    """Shows epochs and the steps within one.

    Args:
        title: what runs.
        epochs: how many epochs there are.
        unit: what they are called.
        enabled: False on ranks that should stay silent.
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
        """There will be `total` epochs."""
        self._epochs = total
        self._bar.update(self._task, total=total)

    def advance(self, epoch: int, done: int, total: int) -> None:
        """`done` of `total` steps of `epoch` (from 0) have been taken."""
        self._bar.update(self._task, completed=round(epoch + done / total, 2))

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._enabled:
            self._console.print(text, markup=False)

    def epoch(self, epoch: int, **values: float) -> None:
        """The figures of a finished epoch, on one line."""
        figures = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        self.line(f"{self._unit} {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  {figures}")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
