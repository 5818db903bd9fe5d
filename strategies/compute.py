"""How a search on shared weights is computed on its device."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from strategies.graphs import Graphs


@dataclass(frozen=True)
class Compute:
    """Options of the device. Apart from rounding, only `amp` changes the result.

    Attributes:
        channels_last: whether maps lie with their channels last on a GPU, as they always do on a CPU in the
            compiled loops of the fast cell.
        amp: whether matrix products and convolutions are computed in bfloat16, by autocast.
        graphs: the CUDA graphs of the search; None: every operation is started on its own.
    """

    channels_last: bool = True
    amp: bool = False
    graphs: Graphs | None = None

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Autocast to bfloat16 with `amp`, else nothing.

        It keeps no converted weights, which a step within the block would leave behind.
        """
        if not self.amp:
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
