"""Loss, mixup, optimizer and learning-rate schedule of a recipe."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from timm.data import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from nastransfer_nni.training.evaluation import full_precision
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.schedules import PDartsSchedule
from search_spaces.errors import UserError, unknown


class ModelWithLoss(nn.Module):
    """A network with its loss as one module, as DistributedDataParallel and torch.compile need it.

    Args:
        model: the network; it needs an auxiliary head if the recipe gives that a weight.
        recipe: defines the loss.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.auxiliary_weight = recipe.auxiliary_weight
        self.criterion: nn.Module
        if recipe.bce_loss:
            self.criterion = BinaryCrossEntropy(
                smoothing=0.0 if recipe.is_mixed else recipe.smoothing,
                target_threshold=recipe.bce_target_thresh or None,
            )
        elif recipe.is_mixed:
            self.criterion = SoftTargetCrossEntropy()
        elif recipe.smoothing:
            self.criterion = LabelSmoothingCrossEntropy(recipe.smoothing)
        else:
            self.criterion = nn.CrossEntropyLoss()

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        Args:
            images: float [B, 3, H, W].
            targets: class of each image, int64 [B], or soft targets, float [B, num_classes].

        Returns:
            The loss [] and the logits [B, num_classes], in at least float32.
        """
        if not self.auxiliary_weight:
            logits = full_precision(self.model(images))
            return self.criterion(logits, targets), logits
        logits, auxiliary = map(full_precision, self.model.forward_with_auxiliary(images))  # type: ignore[operator]
        loss = self.criterion(logits, targets) + self.auxiliary_weight * self.criterion(auxiliary, targets)
        return loss, logits


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for the parameters of `model`.

    Raises:
        UserError: timm has no such optimizer, or it does not take the recipe's options.
    """
    _check_optimizer(recipe)
    options: dict[str, Any] = {}
    if recipe.opt_eps:
        options["eps"] = recipe.opt_eps
    if recipe.opt_betas:
        options["betas"] = recipe.opt_betas
    created: torch.optim.Optimizer = create_optimizer_v2(
        model,
        opt=recipe.opt,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        filter_bias_and_bn=recipe.filter_bias_and_bn,
        **options,
    )
    return created


def _check_optimizer(recipe: Recipe) -> None:
    """Refuse what timm's optimizers would raise assorted exceptions for, or would ignore."""
    prefix, _, name = recipe.opt.lower().rpartition("_")
    if name not in list_optimizers() or prefix not in ("", "lookahead"):
        raise unknown("optimizer", recipe.opt, list_optimizers())
    info = get_optimizer_info(name)
    if isinstance(info.opt_class, str):  # a class of another package, which timm imports by name
        package = info.opt_class.split(".")[0]
        if importlib.util.find_spec(package) is None or not torch.cuda.is_available():
            raise UserError(f"--opt {recipe.opt} needs the package {package} and a CUDA device")
    if info.second_order:
        raise UserError(f"--opt {recipe.opt} needs second derivatives, which training does not compute")
    if recipe.opt_betas:
        allowed = info.num_betas if info.has_betas else 0
        if len(recipe.opt_betas) != allowed or not all(0 <= beta < 1 for beta in recipe.opt_betas):
            raise UserError(
                f"--opt {recipe.opt} takes {allowed or 'no'} --opt-betas, from 0 to below 1 "
                f"(got {', '.join(map(str, recipe.opt_betas))})"
            )
    if recipe.opt_eps and not info.has_eps:
        raise UserError(f"--opt {recipe.opt} takes no --opt-eps (got {recipe.opt_eps})")
    if (info.defaults or {}).get("nesterov") and not recipe.momentum:
        raise UserError(f"--opt {recipe.opt} needs a --momentum above 0; --opt momentum does not")


def scheduler(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Scheduler:
    """The recipe's learning-rate schedule.

    Args:
        optimizer: the optimizer whose learning rate is set.
        recipe: defines the schedule.
        steps: optimizer steps per epoch.
    """
    if recipe.sched == "p-darts":
        updates = steps if recipe.sched_on_updates else 0
        return PDartsSchedule(optimizer, recipe.epochs, recipe.warmup_epochs, updates)
    created: Scheduler
    created, _ = create_scheduler_v2(
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
    return created


def mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """The mixup and cutmix of timm for batches of images and labels; None if the recipe uses neither."""
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
