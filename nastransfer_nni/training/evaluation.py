"""Loss and accuracy of a classifier, exact on any number of processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nastransfer_nni.base.distributed import DistributedContext
from strategies.interfaces import Batches
from strategies.meters import Meter, Metrics


def evaluate(
    model: nn.Module,
    batches: Batches,
    processes: DistributedContext,
    *,
    amp_dtype: torch.dtype | None = None,
    channels_last: bool = False,
    after_batch: Callable[[], None] = lambda: None,
) -> Metrics:
    """Evaluate `model` on every image of `batches` once.

    Each process counts the images of its own share, and the sums are added up at the end. So no image is
    counted twice and none is padded in, however unevenly the images are shared.

    Args:
        model: maps images [B, C, H, W] to logits [B, num_classes].
        batches: images and labels of this process.
        processes: the processes that evaluate together.
        amp_dtype: data type of autocast in the forward pass; None: no autocast.
        channels_last: whether to compute in the channels-last memory layout.
        after_batch: called after every batch, equally often in every process.

    Returns:
        The metrics over the images of all processes; the loss is cross-entropy.
    """
    was_training = model.training
    model.eval()
    meter = Meter(processes)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    precision = next(model.parameters()).dtype
    own_count = torch.tensor(len(batches), device=processes.device)
    calls = max(int(count) for count in processes.all_gather(own_count))
    with torch.inference_mode():
        for images, labels in batches:
            images = images.to(precision).contiguous(memory_format=layout)
            with torch.autocast(processes.device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
                logits = model(images)
            logits = full_precision(logits)
            meter.add(nn.functional.cross_entropy(logits, labels), logits, labels)
            after_batch()
            calls -= 1
        for _ in range(calls):
            after_batch()
    model.train(was_training)
    return meter.compute()


def full_precision(logits: Tensor) -> Tensor:
    """`logits` in float32, or as they are if they are already float32 or more precise."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
