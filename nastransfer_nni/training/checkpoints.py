"""The checkpoints of a training run: the last state, the best, and the best few, in the form that timm reads.

timm's own saver removes the old file before the new one has its name and keeps no place within an epoch, so
that a run killed at the wrong moment has nothing to go on from; hence this one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from nastransfer_nni.base import files, torch_io

LAST, BEST = "last.pt", "best.pt"


def duplicate(source: Path, copy: Path) -> None:
    """Give the file a second name, atomically; copied only where the file system has no links."""
    with files.replacing(copy) as scratch:
        scratch.unlink()
        try:
            os.link(source, scratch)
        except OSError:
            shutil.copyfile(source, scratch)


class Checkpoints:
    """The checkpoints of one run: the last state, the best one and, if asked for, the best few.

    Args:
        folder: where they are.
        history: how many of the best epochs to keep as `epoch-0012.pt`; with 1 there is `best.pt` alone.
    """

    def __init__(self, folder: Path, history: int = 1) -> None:
        self._folder, self._history = folder, history

    def last(self) -> dict[str, Any] | None:
        """The state to go on from, if there is one."""
        return torch_io.load(self._folder / LAST)

    def save(self, state: dict[str, Any]) -> None:
        """Write the last state."""
        torch_io.save(self._folder / LAST, state)

    def keep(self, scores: list[float]) -> None:
        """Keep the last state, that of the newest epoch, if it is among the best.

        Args:
            scores: the top1 of every epoch so far.
        """
        newest = len(scores) - 1
        ranked = sorted(range(len(scores)), key=lambda epoch: (-scores[epoch], epoch))
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
