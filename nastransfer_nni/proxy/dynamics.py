"""Scores of images by how networks learn them: EL2N and forgetting events."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from nastransfer_nni.base.files import replacing
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy import networks
from nastransfer_nni.proxy.scorer_cost import EL2N_NETWORKS, Clock, network_cost, with_cost

_log = logging.getLogger(__name__)


class Forgetting:
    """Counts forgetting events while a network trains; it has the interface of what a checkpoint stores.

    Toneva et al., "An empirical study of example forgetting during deep neural network learning", ICLR 2019:
    an image is forgotten where it was classified rightly when it was last in a batch, and wrongly now.

    Args:
        images: number of images N.
    """

    def __init__(self, images: int) -> None:
        self._state = {
            "is_right": torch.zeros(images, dtype=torch.bool),  # when it was last seen
            "is_learnt": torch.zeros(images, dtype=torch.bool),  # at any time
            "events": torch.zeros(images, dtype=torch.int64),
        }

    def see(self, rows: Tensor, is_right: Tensor) -> None:
        """Record a batch.

        Args:
            rows: rows of its images, int64 [B].
            is_right: whether each is classified rightly, bool [B].
        """
        self._state["events"][rows] += (self._state["is_right"][rows] & ~is_right).long()
        self._state["is_learnt"][rows] |= is_right
        self._state["is_right"][rows] = is_right

    def counts(self, never_learnt: float) -> Tensor:
        """Forgetting events of every image, float64 [N], or `never_learnt` for one that never was right."""
        return torch.where(self._state["is_learnt"], self._state["events"].double(), never_learnt)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint stores."""
        return self._state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the counts over from a checkpoint."""
        self._state = {name: value.cpu() for name, value in state.items()}


def error_norm(logits: Tensor, labels: Tensor) -> Tensor:
    """Distance of the predicted probabilities from the label, ||softmax(logits) - onehot(label)||_2.

    Args:
        logits: logits, float [N, C].
        labels: labels, int64 [N].

    Returns:
        The norms, float64 [N], from 0 to the square root of 2.
    """
    chances = logits.double().softmax(1)
    return torch.linalg.vector_norm(chances - F.one_hot(labels, logits.shape[1]), dim=1)


def compute(images: ImageSet, column: str, epochs: int, final: Path) -> None:
    """Train networks and write a score file; an interrupted computation resumes.

    `el2n` is the error norm after `epochs` epochs, averaged over networks with different seeds (Paul, Ganguli
    and Dziugaite, "Deep learning on a data diet: finding important examples early in training", NeurIPS
    2021). `forgetting` counts the forgetting events of one network; an image that is never learnt counts as
    forgotten in every epoch, so that it comes before all others.

    Args:
        images: the set, in canonical order.
        column: el2n or forgetting.
        epochs: training epochs of each network.
        final: the score file, a Parquet file with the columns key and `column`.

    Raises:
        UserError: the set does not fit in memory.
    """
    import pyarrow  # slow to import
    import pyarrow.parquet

    _log.info("scoring %d images of %s by %s", len(images), images.name, column)
    folder = final.with_suffix("")
    folder.mkdir(exist_ok=True)
    clock = Clock(folder / "clock.json")
    if column == "forgetting":
        forgetting = Forgetting(len(images))
        networks.train_network(images, epochs, folder / "0", forgetting=forgetting, clock=clock)
        values = forgetting.counts(never_learnt=epochs).numpy()
    else:
        values = np.mean(
            [_errors(images, epochs, folder, seed, clock) for seed in range(EL2N_NETWORKS)], axis=0
        )
    table = pyarrow.table({"key": [f"{int(key):016x}" for key in images.keys], column: values})
    cost = replace(network_cost(len(images), epochs, column), seconds=clock.seconds)
    with replacing(final) as scratch:
        pyarrow.parquet.write_table(with_cost(table, cost), scratch)
    shutil.rmtree(folder)


def _errors(images: ImageSet, epochs: int, folder: Path, seed: int, clock: Clock) -> npt.NDArray[np.float64]:
    """Error norm of every image by one network, float64 [N]."""
    network, content = networks.train_network(images, epochs, folder / str(seed), seed=seed, clock=clock)
    logits = torch.cat([batch for _, batch in networks.network_outputs(network, content, images, 0)])
    clock.lap()
    return error_norm(logits, torch.tensor(images.labels)).numpy()  # type: ignore[return-value]
