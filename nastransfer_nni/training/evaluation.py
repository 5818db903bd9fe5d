"""Accuracy of a classifier, exact on any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nastransfer_nni.base.distributed import DistributedContext


@dataclass(frozen=True)
class Accuracy:
    """Figures of one pass over an evaluation part.

    Attributes:
        loss: mean cross-entropy.
        top1: percent of images whose class has the largest logit.
        top5: percent of images whose class is among the five largest logits, or among all of fewer classes.
        images: how many images were seen.
    """

    loss: float
    top1: float
    top5: float
    images: int


class Meter:
    """Sums of loss and hits, kept on the device so that nothing waits for it.

    Args:
        device: where the logits are.
    """

    def __init__(self, device: torch.device) -> None:
        precise = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(4, dtype=precise, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: its mean loss, logits [B, C], labels [B]."""
        hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        count = len(labels)
        batch = torch.stack(
            [loss.double() * count, hits[:, 0].sum(), hits.sum(), hits.new_full((), count, dtype=torch.int64)]
        )
        self.sums += batch.to(self.sums.dtype)

    def accuracy(self, processes: DistributedContext) -> Accuracy:
        """The figures over all processes."""
        loss, top1, top5, count = processes.all_reduce_sum(self.sums.clone()).tolist()
        count = max(count, 1)
        return Accuracy(loss / count, 100 * top1 / count, 100 * top5 / count, int(count))


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    processes: DistributedContext,
    *,
    amp_dtype: torch.dtype | None = None,
    channels_last: bool = False,
    after_batch: Callable[[], None] = lambda: None,
) -> Accuracy:
    """Evaluate `model` on every image of `batches` once.

    Each process counts the images that it was given; the sums are added up at the end, so that no image is
    counted twice and none is padded in, however unevenly they are shared.

    Args:
        model: images [B, C, H, W] to logits [B, num_classes].
        batches: this process's images and labels.
        processes: the processes.
        amp_dtype: precision of the forward pass; None for that of the weights.
        channels_last: memory layout of the images.
        after_batch: called after every batch.
    """
    was_training = model.training
    model.eval()
    meter = Meter(processes.device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    precision = next(model.parameters()).dtype
    with torch.inference_mode():
        for images, labels in batches:
            images = images.to(precision).contiguous(memory_format=layout)
            with torch.autocast(processes.device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
                logits = model(images)
            logits = full_precision(logits)
            meter.add(nn.functional.cross_entropy(logits, labels), logits, labels)
            after_batch()
    model.train(was_training)
    return meter.accuracy(processes)


def full_precision(logits: Tensor) -> Tensor:
    """Logits in at least float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
