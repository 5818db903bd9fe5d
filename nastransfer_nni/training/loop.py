"""The training loop of final networks: `transfer` and every evaluator that trains a network call it.

A run depends on its seed, its protocol and the global batch alone. All random numbers of a step are seeded by
(seed, epoch, step): a checkpoint needs no generator's state, and a run that was killed anywhere goes on as if
it had not been.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from timm.utils import dispatch_clip_grad
from timm.utils.distributed import distribute_bn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import hashing
from nastransfer_nni.data.decoding_loader import seed_everything
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.evaluation import evaluate
from nastransfer_nni.training.objective import Training, mixup
from nastransfer_nni.training.observer import Observer, Result
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.state import TrainingState
from nastransfer_nni.training.target import Loaders
from search_spaces.errors import UserError

CHECK_STEPS = 20
"""Steps between two looks at what would make a GPU or another process wait: the loss, and interruptions."""


class TrainingDiverged(UserError):
    """The training loss is not finite."""


@dataclass(frozen=True)
class Execution:
    """How training is computed; none of it changes what is computed, but for rounding.

    Attributes:
        channels_last: memory layout; the faster one for these networks on CPUs and on GPUs. Left alone in
            mixed precision on a CPU, where oneDNN gets the weight gradient of dilated depthwise convolutions
            wrong in bfloat16 and channels-last (seen with torch 2.14 on an AMX machine).
        torchcompile: backend that compiles the network; empty for none.
        grad_checkpointing: whether to recompute activations instead of keeping them.
        recovery_interval: optimizer steps between checkpoints within an epoch; 0: none.
        checkpoint_hist: how many of the best epochs to keep.
    """

    channels_last: bool = True
    torchcompile: str = ""
    grad_checkpointing: bool = False
    recovery_interval: int = 0
    checkpoint_hist: int = 1


def train(
    model: nn.Module,
    loaders: Loaders,
    recipe: Recipe,
    *,
    seed: int = 0,
    processes: DistributedContext | None = None,
    execution: Execution | None = None,
    checkpoints: Checkpoints | None = None,
    extra: dict[str, Any] | None = None,
    observer: Observer | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Result:
    """Train `model` from its present weights, or go on from the last checkpoint.

    Args:
        model: a network of this project on `processes.device`; trained in place.
        loaders: the data, shared out to this process.
        recipe: how to train.
        seed: of everything that training draws.
        processes: the processes; by default this one, on the CPU.
        execution: how to compute.
        checkpoints: where to keep the state; without, nothing is written.
        extra: entries for every checkpoint, such as what the network is built from.
        observer: is told of every step and epoch; on rank 0.
        is_interrupted: asked after every step; if so the state is saved and KeyboardInterrupt raised.

    Raises:
        UserError: the loss is not finite; names the epoch, the step and the images.
        KeyboardInterrupt: `is_interrupted` said so.
    """
    processes, execution = processes or DistributedContext(), execution or Execution()
    channels_last = execution.channels_last and not (recipe.amp and processes.device.type == "cpu")
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if execution.grad_checkpointing:
        model.set_grad_checkpointing()  # type: ignore[operator]
    steps = len(loaders.train) // recipe.grad_accum_steps
    state = TrainingState(model, recipe, processes, steps)
    if checkpoints is not None and (saved := checkpoints.last()) is not None:
        state.load(saved)
        if state.progress.step == 0 and state.progress.top1 and processes.rank == 0:
            checkpoints.keep(state.progress.top1)  # the process may have been killed just before
    loop = _Loop(
        state,
        loaders,
        recipe,
        steps,
        seed,
        processes,
        execution,
        channels_last,
        checkpoints,
        extra or {},
        observer or Observer(),
        is_interrupted,
    )
    return loop.run()


def _parallel(model: Any, recipe: Recipe, processes: DistributedContext, compiler: str) -> Any:
    """The network with its loss, compiled by the backend `compiler` if one is named, over all processes."""
    training = Training(model, recipe)
    if compiler:
        training.compile(backend=compiler)
        model.compile(backend=compiler)
    if processes.world_size == 1:
        return training
    return DistributedDataParallel(
        training, device_ids=[processes.device.index] if processes.device.type == "cuda" else None
    )


class _Loop:
    def __init__(
        self,
        state: TrainingState,
        loaders: Loaders,
        recipe: Recipe,
        steps: int,
        seed: int,
        processes: DistributedContext,
        execution: Execution,
        channels_last: bool,
        checkpoints: Checkpoints | None,
        extra: dict[str, Any],
        observer: Observer,
        is_interrupted: Callable[[], bool],
    ) -> None:
        self.state, self.loaders, self.recipe, self.steps = state, loaders, recipe, steps
        self.seed, self.processes = seed, processes
        self.channels_last, self.recovery_interval = channels_last, execution.recovery_interval
        self.checkpoints, self.extra, self.observer = checkpoints, extra, observer
        self.is_interrupted = is_interrupted
        self.mixup = mixup(recipe, state.model.num_classes)
        self.precision = next(state.model.parameters()).dtype
        self.training = _parallel(state.model, recipe, processes, execution.torchcompile)
        self.losses: list[Tensor] = []

    def run(self) -> Result:
        state = self.state
        self.observer.started(state.progress, self.steps)
        self.clock = time.perf_counter() - state.progress.seconds
        while state.progress.epoch < self.recipe.epochs:
            self._epoch()
        assert state.final is not None, "a run has at least one epoch"
        scores = state.progress.top1
        best = max(range(len(scores)), key=lambda epoch: (scores[epoch], -epoch))
        return Result(state.final, scores[best], best, state.progress.seconds)

    def _epoch(self) -> None:
        state, progress, processes = self.state, self.state.progress, self.processes
        self._set_epoch()
        started, first = time.perf_counter(), progress.step
        self._steps()
        seconds = time.perf_counter() - started
        if processes.world_size > 1:
            for model in (state.model, *([] if state.ema is None else [state.ema.module])):
                distribute_bn(model, processes.world_size, self.recipe.dist_bn == "reduce")
        lr = state.optimizer.param_groups[0]["lr"]
        trained = state.meter.accuracy(processes)
        validation = evaluate(
            state.evaluated,
            self.loaders.validation,
            processes,
            amp_dtype=state.amp_dtype,
            channels_last=self.channels_last,
            after_batch=self._stop_if_interrupted if processes.world_size == 1 else lambda: None,
        )
        rate = (progress.step - first) * self.recipe.batch_size / max(seconds, 1e-9)
        train_figures = {"loss": trained.loss, "lr": lr, "images_per_second": rate, "seconds": seconds}
        if self.mixup is None:
            train_figures |= {"top1": trained.top1, "top5": trained.top5}
        figures = {name: value for name, value in asdict(validation).items() if name != "images"}
        figures["seconds"] = time.perf_counter() - started - seconds
        self.observer.epoch_done(progress.epoch, (progress.epoch + 1) * self.steps, train_figures, figures)
        state.epoch_done(validation)
        self._save()
        if self.checkpoints is not None and processes.rank == 0:
            self.checkpoints.keep(progress.top1)

    def _set_epoch(self) -> None:
        """Everything that follows from the epoch alone."""
        progress, recipe = self.state.progress, self.recipe
        self.loaders.train.set_epoch(progress.epoch, progress.step * recipe.grad_accum_steps)
        self.loaders.validation.set_epoch(progress.epoch)
        self.state.model.set_drop_path_rate(recipe.drop_path * progress.epoch / recipe.epochs)
        self.state.scheduler.step(progress.epoch)
        if self.mixup is not None and recipe.mixup_off_epoch:
            self.mixup.mixup_enabled = progress.epoch < recipe.mixup_off_epoch
        self.training.train()

    def _steps(self) -> None:
        """The optimizer steps that the epoch still lacks."""
        progress = self.state.progress
        batches = iter(self.loaders.train)
        while progress.step < self.steps:
            if self.recipe.sched_on_updates:
                self.state.scheduler.step_update(progress.epoch * self.steps + progress.step)
            self._step(batches)
            progress.step += 1
            self.observer.step_done(progress, self.steps)
            is_last = progress.step == self.steps
            if is_last or self.processes.device.type == "cpu" or progress.step % CHECK_STEPS == 0:
                self._check_losses()
            if self.recovery_interval and not is_last and progress.step % self.recovery_interval == 0:
                self._check_losses()
                self._save()
            self._stop_if_interrupted()

    def _step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        """One optimizer step, from `grad_accum_steps` batches."""
        state, progress, processes = self.state, self.state.progress, self.processes
        parts = self.recipe.grad_accum_steps
        state.optimizer.zero_grad()
        for part, (images, labels) in enumerate(islice(batches, parts)):
            seed_everything(
                hashing.number(self.seed, progress.epoch, "step", progress.step, part, processes.rank)
            )
            images, targets = images.to(self.precision), labels
            if self.mixup is not None:
                images, targets = self.mixup(images, labels)
            if self.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            is_last = part == parts - 1
            waits = processes.world_size == 1 or is_last
            with contextlib.nullcontext() if waits else self.training.no_sync():
                with torch.autocast(
                    processes.device.type, dtype=state.amp_dtype, enabled=state.amp_dtype is not None
                ):
                    loss, logits = self.training(images, targets)
                self._backward(loss / parts, is_last)
            state.meter.add(loss.detach(), logits.detach(), labels)
            self.losses.append(loss.detach())
        if state.ema is not None:
            state.ema.update(state.model, step=progress.epoch * self.steps + progress.step)

    def _backward(self, loss: Tensor, is_last: bool) -> None:
        state = self.state
        clip, mode = self.recipe.clip_grad or None, self.recipe.clip_mode
        parameters = list(state.model.parameters())
        if mode == "agc":
            head = {id(parameter) for parameter in state.model.get_classifier().parameters()}
            parameters = [parameter for parameter in parameters if id(parameter) not in head]
        if state.scaler is not None:
            state.scaler(
                loss,
                state.optimizer,
                clip_grad=clip,
                clip_mode=mode,
                parameters=parameters,
                need_update=is_last,
            )
            return
        loss.backward()  # type: ignore[no-untyped-call]
        if is_last:
            if clip:
                dispatch_clip_grad(parameters, clip, mode=mode)
            state.optimizer.step()

    def _check_losses(self) -> None:
        """Stop at a loss that is not finite, before anything is saved."""
        if not self.losses:
            return
        finite = torch.isfinite(torch.stack(self.losses))
        is_bad = not bool(finite.all())
        if self.processes.any(is_bad):
            parts, progress = self.recipe.grad_accum_steps, self.state.progress
            if not is_bad:
                raise TrainingDiverged(
                    f"another process met a loss that is not finite in epoch {progress.epoch}"
                )
            number = int((~finite).nonzero()[0])
            step = progress.step - (len(self.losses) - number + parts - 1) // parts
            where = self.loaders.describe(step * parts + number % parts)
            raise TrainingDiverged(
                f"the loss is {float(self.losses[number])} at epoch {progress.epoch}, step {step} of "
                f"{self.steps} (images: {where}); the last checkpoint is from before; try a lower --lr or "
                "--clip-grad"
            )
        self.losses.clear()

    def _stop_if_interrupted(self) -> None:
        """Save and stop when asked to; several processes agree on it now and then."""
        step = self.state.progress.step
        if self.processes.world_size > 1 and step % CHECK_STEPS and step != self.steps:
            return
        if self.processes.any(self.is_interrupted()):
            self._save()
            raise KeyboardInterrupt

    def _save(self) -> None:
        self.state.progress.seconds = time.perf_counter() - self.clock
        state = self.state.to_dict()
        if self.checkpoints is not None and self.processes.rank == 0:
            self.checkpoints.save(self.extra | state)
