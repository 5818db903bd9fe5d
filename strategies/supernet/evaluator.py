"""What NNI hands to a strategy on shared weights: data, schedule, records, and where to resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from search_spaces.nni_api import Evaluator
from strategies.compute import Compute
from strategies.data_loaders import SilentRecorder, as_batches
from strategies.distributed import DistributedContext
from strategies.interfaces import Batches, Recorder, SearchContext


@dataclass(frozen=True)
class Schedule:
    """How the shared weights are trained.

    Attributes:
        epochs: number of passes over the weight split.
        lr: learning rate of SGD at the start; it falls to `min_lr` on a cosine, epoch by epoch.
        min_lr: learning rate of SGD at the end.
        momentum: momentum of SGD.
        weight_decay: weight decay of SGD.
        clip_grad: largest norm of the weights' gradient.
    """

    epochs: int = 50
    lr: float = 0.025
    min_lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_grad: float = 5.0


class SupernetEvaluator(Evaluator):  # type: ignore[misc]
    """Data, schedule and records of a search on shared weights: what NNI hands to the strategy.

    Args:
        weights: the weight split, which trains the shared weights; a DataLoader, or `Batches`.
        alphas: the alpha split, which trains the architecture parameters.
        validation: the alpha split without augmentation, always in the same shuffled order, so that a few
            batches have images of many classes; None: the alpha split as it is.
        schedule: how the shared weights are trained; None: the published schedule of DARTS.
        recorder: receives the metrics and genotypes of the search; None: nothing is recorded.
        device: device of the supernet.
        resume: the last state that `save` was called with, from which the search resumes; None: a new search.
        save: called with the state after every epoch; it contains tensors, numbers and strings only.
        context: seed, budget and limit of the search.
        processes: the processes that search together.
        val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        compute: how the search is computed on its device; None: `Compute()`.
    """

    def __init__(
        self,
        weights: Batches | DataLoader[Any],
        alphas: Batches | DataLoader[Any],
        validation: Batches | DataLoader[Any] | None = None,
        schedule: Schedule | None = None,
        recorder: Recorder | None = None,
        device: torch.device | str = "cpu",
        resume: dict[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        context: SearchContext | None = None,
        processes: DistributedContext | None = None,
        val_interval: int = 1,
        compute: Compute | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.weights, self.alphas = as_batches(weights, self.device), as_batches(alphas, self.device)
        self.validation = self.alphas if validation is None else as_batches(validation, self.device)
        self.schedule, self.recorder = schedule or Schedule(), recorder or SilentRecorder()
        self.resume, self.save = resume, save
        self.context = context or SearchContext()
        self.processes = processes or DistributedContext(device=self.device)
        self.val_interval = val_interval
        self.compute = compute or Compute()
