"""The checkpoints of a training run in a form that timm can read: the last state, the best, the best few.

We do not use timm's saver: it removes the old file before the new one has its name, so a run that is killed
in between cannot resume, and it does not store the position within an epoch.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from pathlib import Path
from typing import Any

from nastransfer_nni.base import files, torch_io

LAST, BEST = "last.pt", "best.pt"


def duplicate(source: Path, copy: Path) -> None:
    """Give a file a second name, atomically; it is copied only if the file system has no hard links."""
    with files.replacing(copy) as scratch:
        scratch.unlink()
        try:
            os.link(source, scratch)
        except OSError:
            shutil.copyfile(source, scratch)


class Checkpoints:
    """The checkpoints of one run: `last.pt`, `best.pt` and, with a longer history, `epoch-0012.pt` and so on.

    Args:
        folder: folder of the checkpoints.
        history: number of best epochs to keep; 1: only `best.pt`.
    """

    def __init__(self, folder: Path, history: int = 1) -> None:
        self._folder, self._history = folder, history

    def last(self) -> dict[str, Any] | None:
        """The state to resume from, or None.

        Raises:
            UserError: `last.pt` is not a checkpoint.
        """
        return torch_io.load(self._folder / LAST)

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` to `last.pt`, atomically."""
        torch_io.save(self._folder / LAST, state)

    def keep(self, scores: list[float]) -> None:
        """Keep a copy of `last.pt`, the state after the newest epoch, if that epoch is among the best.

        Args:
            scores: top-1 of every epoch so far; NaN where it was not evaluated.
        """
        newest = len(scores) - 1
        evaluated = [epoch for epoch in range(len(scores)) if not math.isnan(scores[epoch])]
        ranked = sorted(evaluated, key=lambda epoch: (-scores[epoch], epoch))
        if newest not in evaluated:
            return
        if ranked[0] == newest:
            duplicate(self._folder / LAST, self._folder / BEST)
        if self._history > 1:
            if newest in ranked[: self._history]:
                duplicate(self._folder / LAST, self._path(newest))
            for epoch in ranked[self._history :]:
                with contextlib.suppress(FileNotFoundError):
                    self._path(epoch).unlink()

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:04d}.pt"
