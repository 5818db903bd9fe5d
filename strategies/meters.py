"""Loss and accuracy over images, summed up on the device and over all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from strategies.distributed import DistributedContext


@dataclass(frozen=True)
class Metrics:
    """Loss and accuracy over some images.

    Attributes:
        loss: mean loss per image.
        top1: percent of images whose class has the largest logit.
        top5: percent of images whose class is among the five largest logits, or among all logits where there
            are fewer than five.
        images: number of images.
    """

    loss: float
    top1: float
    top5: float
    images: int


class Meter:
    """Sums of loss and of correct predictions, kept on the device so that no batch waits for them.

    Args:
        processes: the processes over which `compute` sums up; their device is where the batches are.

    Attributes:
        sums: float64 [4] (float32 on `mps`, which has no float64): loss, correct top-1 predictions, correct
            top-5 predictions, and images, all of this process.
    """

    def __init__(self, processes: DistributedContext) -> None:
        self._processes = processes
        dtype = torch.float32 if processes.device.type == "mps" else torch.float64
        self.sums = torch.zeros(4, dtype=dtype, device=processes.device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            loss: mean loss of the batch, [].
            logits: [B, num_classes].
            labels: int64 [B].
        """
        is_correct = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        count = len(labels)
        sums = [loss.to(self.sums.dtype) * count, is_correct[:, 0].sum(), is_correct.sum()]
        # filled on the device: a number that is copied from the CPU would make it wait
        self.sums += torch.stack([*sums, sums[0].new_full((), count)])

    def compute(self) -> Metrics:
        """The metrics over the images of all processes; every process has to call this."""
        loss, top1, top5, images = self._processes.all_reduce_sum(self.sums.clone()).tolist()
        count = max(images, 1)
        return Metrics(loss / count, 100.0 * top1 / count, 100.0 * top5 / count, int(images))

    def loss_and_top1(self) -> dict[str, float]:
        """`loss` and `top1` of `compute`, by name: the metrics that a search reports."""
        metrics = self.compute()
        return {"loss": metrics.loss, "top1": metrics.top1}
