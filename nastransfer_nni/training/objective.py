"""What training minimises, on which mixed images, with which optimizer, at which learning rate."""

from __future__ import annotations

from typing import Any

import torch
from timm.data import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from nastransfer_nni.errors import UserError
from nastransfer_nni.training.evaluation import full_precision
from nastransfer_nni.training.protocols import Protocol


class Training(nn.Module):
    """A network with its loss, as one module, for DistributedDataParallel and torch.compile.

    Args:
        model: the network; has an auxiliary head if the protocol gives it a weight.
        protocol: says which loss.
    """

    def __init__(self, model: nn.Module, protocol: Protocol) -> None:
        super().__init__()
        self.model = model
        self.auxiliary_weight = protocol.auxiliary_weight
        self.criterion: nn.Module
        if protocol.bce_loss:
            self.criterion = BinaryCrossEntropy(smoothing=0.0 if protocol.is_mixed else protocol.smoothing)
        elif protocol.is_mixed:
            self.criterion = SoftTargetCrossEntropy()
        elif protocol.smoothing:
            self.criterion = LabelSmoothingCrossEntropy(protocol.smoothing)
        else:
            self.criterion = nn.CrossEntropyLoss()

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Images and class numbers (or shares of classes) to the loss and the logits."""
        if not self.auxiliary_weight:
            logits = full_precision(self.model(images))
            return self.criterion(logits, targets), logits
        logits, auxiliary = map(full_precision, self.model.forward_with_auxiliary(images))  # type: ignore[operator]
        loss = self.criterion(logits, targets) + self.auxiliary_weight * self.criterion(auxiliary, targets)
        return loss, logits


def optimizer(model: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    """The protocol's optimizer for the parameters of `model`.

    Raises:
        UserError: timm has none of that name, or it does not take what the protocol gives it.
    """
    options: dict[str, Any] = {}
    if protocol.opt_eps:
        options["eps"] = protocol.opt_eps
    if protocol.opt_betas:
        options["betas"] = protocol.opt_betas
    try:
        made: torch.optim.Optimizer = create_optimizer_v2(
            model,
            opt=protocol.opt,
            lr=protocol.lr,
            weight_decay=protocol.weight_decay,
            momentum=protocol.momentum,
            filter_bias_and_bn=protocol.filter_bias_and_bn,
            **options,
        )
    except (ValueError, AssertionError, TypeError) as error:
        raise UserError(f"--opt {protocol.opt}: {error}") from None
    return made


def scheduler(optimizer: torch.optim.Optimizer, protocol: Protocol, steps: int) -> Scheduler:
    """The protocol's schedule of the learning rate, for epochs of `steps` optimizer steps."""
    made: Scheduler
    made, _ = create_scheduler_v2(
        optimizer,
        sched=protocol.sched,
        num_epochs=protocol.epochs,
        decay_epochs=protocol.decay_epochs,
        decay_rate=protocol.decay_rate,
        min_lr=protocol.min_lr,
        warmup_lr=protocol.warmup_lr,
        warmup_epochs=protocol.warmup_epochs,
        step_on_epochs=not protocol.sched_on_updates,
        updates_per_epoch=steps,
    )
    return made


def mixup(protocol: Protocol, num_classes: int) -> Mixup | None:
    """What mixes the images of a batch and their labels; None where the protocol mixes none."""
    if not protocol.is_mixed:
        return None
    return Mixup(
        protocol.mixup,
        protocol.cutmix,
        prob=protocol.mixup_prob,
        switch_prob=protocol.mixup_switch_prob,
        label_smoothing=protocol.smoothing,
        num_classes=num_classes,
    )
