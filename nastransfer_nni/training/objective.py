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

from nastransfer_nni.training.evaluation import full_precision
from nastransfer_nni.training.recipes import Recipe
from search_spaces.errors import UserError


class Training(nn.Module):
    """A network with its loss, as one module, for DistributedDataParallel and torch.compile.

    Args:
        model: the network; has an auxiliary head if the protocol gives it a weight.
        recipe: says which loss.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.auxiliary_weight = recipe.auxiliary_weight
        self.criterion: nn.Module
        if recipe.bce_loss:
            self.criterion = BinaryCrossEntropy(smoothing=0.0 if recipe.is_mixed else recipe.smoothing)
        elif recipe.is_mixed:
            self.criterion = SoftTargetCrossEntropy()
        elif recipe.smoothing:
            self.criterion = LabelSmoothingCrossEntropy(recipe.smoothing)
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


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The protocol's optimizer for the parameters of `model`.

    Raises:
        UserError: timm has none of that name, or it does not take what the protocol gives it.
    """
    options: dict[str, Any] = {}
    if recipe.opt_eps:
        options["eps"] = recipe.opt_eps
    if recipe.opt_betas:
        options["betas"] = recipe.opt_betas
    try:
        made: torch.optim.Optimizer = create_optimizer_v2(
            model,
            opt=recipe.opt,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            filter_bias_and_bn=recipe.filter_bias_and_bn,
            **options,
        )
    except (ValueError, AssertionError, TypeError) as error:
        raise UserError(f"--opt {recipe.opt}: {error}") from None
    return made


def scheduler(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Scheduler:
    """The protocol's schedule of the learning rate, for epochs of `steps` optimizer steps."""
    made: Scheduler
    made, _ = create_scheduler_v2(
        optimizer,
        sched=recipe.sched,
        num_epochs=recipe.epochs,
        decay_epochs=recipe.decay_epochs,
        decay_rate=recipe.decay_rate,
        min_lr=recipe.min_lr,
        warmup_lr=recipe.warmup_lr,
        warmup_epochs=recipe.warmup_epochs,
        step_on_epochs=not recipe.sched_on_updates,
        updates_per_epoch=steps,
    )
    return made


def mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """What mixes the images of a batch and their labels; None where the protocol mixes none."""
    if not recipe.is_mixed:
        return None
    return Mixup(
        recipe.mixup,
        recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob,
        label_smoothing=recipe.smoothing,
        num_classes=num_classes,
    )
