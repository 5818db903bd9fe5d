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
from timm.data import Mixup
from timm.layers import convert_sync_batchnorm
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, NativeScaler, dispatch_clip_grad
from timm.utils.distributed import distribute_bn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nastransfer_nni.data import order
from nastransfer_nni.errors import UserError
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.data import Loaders
from nastransfer_nni.training.distributed import World
from nastransfer_nni.training.evaluation import Accuracy, Meter, evaluate
from nastransfer_nni.training.images import seed_everything
from nastransfer_nni.training.objective import Training, optimizer
from nastransfer_nni.training.progress import Observer, Progress, Result
from nastransfer_nni.training.protocols import Protocol

CHECK_STEPS = 20
"""Steps between two looks at what would make a GPU or another process wait: the loss, and interruptions."""


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
    protocol: Protocol,
    *,
    seed: int = 0,
    world: World | None = None,
    execution: Execution | None = None,
    checkpoints: Checkpoints | None = None,
    extra: dict[str, Any] | None = None,
    observer: Observer | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Result:
    """Train `model` from its present weights, or go on from the last checkpoint.

    Args:
        model: a network of this project on `world.device`; trained in place.
        loaders: the data, shared out to this process.
        protocol: how to train.
        seed: of everything that training draws.
        world: the processes; by default this one, on the CPU.
        execution: how to compute.
        checkpoints: where to keep the state; without, nothing is written.
        extra: entries for every checkpoint, such as what the network is built from.
        observer: is told of every step and epoch; on rank 0.
        is_interrupted: asked after every step; if so the state is saved and KeyboardInterrupt raised.

    Raises:
        UserError: the loss is not finite; names the epoch, the step and the images.
        KeyboardInterrupt: `is_interrupted` said so.
    """
    loop = _Loop(
        model,
        loaders,
        protocol,
        seed,
        world or World(),
        execution or Execution(),
        checkpoints,
        extra or {},
        observer or Observer(),
        is_interrupted,
    )
    return loop.run()


@dataclass
class _Loop:
    model: Any
    loaders: Loaders
    protocol: Protocol
    seed: int
    world: World
    execution: Execution
    checkpoints: Checkpoints | None
    extra: dict[str, Any]
    observer: Observer
    is_interrupted: Callable[[], bool]
    final: Accuracy | None = None

    def run(self) -> Result:
        protocol, execution, world = self.protocol, self.execution, self.world
        self.progress = Progress()
        self.steps = len(self.loaders.train) // protocol.grad_accum_steps
        self.amp_dtype = getattr(torch, protocol.amp_dtype) if protocol.amp else None
        self.channels_last = execution.channels_last and not (protocol.amp and world.device.type == "cpu")
        if self.channels_last:
            self.model.to(memory_format=torch.channels_last)
        if execution.grad_checkpointing:
            self.model.set_grad_checkpointing()
        if protocol.sync_bn and world.size > 1:
            self.model = convert_sync_batchnorm(self.model)
        self.optimizer = optimizer(self.model, protocol)
        self.scheduler, _ = create_scheduler_v2(
            self.optimizer,
            sched=protocol.sched,
            num_epochs=protocol.epochs,
            decay_epochs=protocol.decay_epochs,
            decay_rate=protocol.decay_rate,
            min_lr=protocol.min_lr,
            warmup_lr=protocol.warmup_lr,
            warmup_epochs=protocol.warmup_epochs,
            step_on_epochs=not protocol.sched_on_updates,
            updates_per_epoch=self.steps,
        )
        needs_scaler = self.amp_dtype is torch.float16 and world.device.type == "cuda"
        self.scaler = NativeScaler(world.device.type) if needs_scaler else None
        self.ema = (
            ModelEmaV3(self.model, decay=protocol.model_ema_decay, use_warmup=protocol.model_ema_warmup)
            if protocol.model_ema
            else None
        )
        self.mixup = (
            Mixup(
                protocol.mixup,
                protocol.cutmix,
                prob=protocol.mixup_prob,
                switch_prob=protocol.mixup_switch_prob,
                label_smoothing=protocol.smoothing,
                num_classes=self.model.num_classes,
            )
            if protocol.is_mixed
            else None
        )
        self.precision = next(self.model.parameters()).dtype
        self.meter = Meter(world.device)
        self._resume()
        training: Any = Training(self.model, protocol)
        if execution.torchcompile:
            training.compile(backend=execution.torchcompile)
            self.model.compile(backend=execution.torchcompile)
        if world.size > 1:
            ids = [world.device.index] if world.device.type == "cuda" else None
            training = DistributedDataParallel(training, device_ids=ids)
        self.training = training
        self.observer.started(self.progress, self.steps)
        self.clock = time.perf_counter() - self.progress.seconds
        while self.progress.epoch < protocol.epochs:
            self.final = self._epoch()
        assert self.final is not None, "a run has at least one epoch"
        scores = self.progress.top1
        best = max(range(len(scores)), key=lambda epoch: (scores[epoch], -epoch))
        return Result(self.final, scores[best], best, self.progress.seconds)

    def _epoch(self) -> Accuracy:
        protocol, progress = self.protocol, self.progress
        self._set_epoch()
        started, first = time.perf_counter(), progress.step
        self._steps()
        seconds = time.perf_counter() - started
        if self.world.size > 1:
            distribute_bn(self.model, self.world.size, protocol.dist_bn == "reduce")
            if self.ema is not None:
                distribute_bn(self.ema.module, self.world.size, protocol.dist_bn == "reduce")
        lr = self.optimizer.param_groups[0]["lr"]
        trained = self.meter.accuracy(self.world)
        validation = evaluate(
            self.model if self.ema is None else self.ema.module,
            self.loaders.validation,
            self.world,
            amp_dtype=self.amp_dtype,
            channels_last=self.channels_last,
            after_batch=self._stop_if_interrupted if self.world.size == 1 else lambda: None,
        )
        rate = (progress.step - first) * protocol.batch_size / max(seconds, 1e-9)
        train_figures = {"loss": trained.loss, "lr": lr, "images_per_second": rate, "seconds": seconds}
        if self.mixup is None:
            train_figures |= {"top1": trained.top1, "top5": trained.top5}
        figures = {name: value for name, value in asdict(validation).items() if name != "images"}
        figures["seconds"] = time.perf_counter() - started - seconds
        self.observer.epoch_done(progress.epoch, (progress.epoch + 1) * self.steps, train_figures, figures)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.top1.append(validation.top1)
        self.meter = Meter(self.world.device)
        self._save(validation)
        if self.checkpoints is not None and self.world.rank == 0:
            self.checkpoints.keep(progress.top1)
        return validation

    def _set_epoch(self) -> None:
        """Everything that follows from the epoch alone."""
        epoch, protocol = self.progress.epoch, self.protocol
        self.loaders.train.set_epoch(epoch, self.progress.step * protocol.grad_accum_steps)
        self.loaders.validation.set_epoch(epoch)
        self.model.set_drop_path_rate(protocol.drop_path * epoch / protocol.epochs)
        self.scheduler.step(epoch)
        if self.mixup is not None and protocol.mixup_off_epoch:
            self.mixup.mixup_enabled = epoch < protocol.mixup_off_epoch
        self.model.train()
        self.training.train()

    def _steps(self) -> None:
        """The optimizer steps that the epoch still lacks."""
        progress, protocol = self.progress, self.protocol
        self.losses: list[Tensor] = []
        batches = iter(self.loaders.train)
        while progress.step < self.steps:
            if protocol.sched_on_updates:
                self.scheduler.step_update(progress.epoch * self.steps + progress.step)
            self._step(batches)
            progress.step += 1
            self.observer.step_done(progress, self.steps)
            is_last = progress.step == self.steps
            if is_last or self.world.device.type == "cpu" or progress.step % CHECK_STEPS == 0:
                self._check_losses()
            interval = self.execution.recovery_interval
            if interval and not is_last and progress.step % interval == 0:
                self._check_losses()
                self._save()
            self._stop_if_interrupted()

    def _step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        """One optimizer step, from `grad_accum_steps` batches."""
        progress, protocol = self.progress, self.protocol
        parts = protocol.grad_accum_steps
        self.optimizer.zero_grad()
        for part, (images, labels) in enumerate(islice(batches, parts)):
            seed_everything(
                order.number(self.seed, progress.epoch, "step", progress.step, part, self.world.rank)
            )
            images, targets = images.to(self.precision), labels
            if self.mixup is not None:
                images, targets = self.mixup(images, labels)
            if self.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            is_last = part == parts - 1
            waits = self.world.size == 1 or is_last
            with contextlib.nullcontext() if waits else self.training.no_sync():
                with torch.autocast(
                    self.world.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None
                ):
                    loss, logits = self.training(images, targets)
                self._backward(loss / parts, is_last)
            self.meter.add(loss.detach(), logits.detach(), labels)
            self.losses.append(loss.detach())
        if self.ema is not None:
            self.ema.update(self.model, step=progress.epoch * self.steps + progress.step)

    def _backward(self, loss: Tensor, is_last: bool) -> None:
        clip, mode = self.protocol.clip_grad or None, self.protocol.clip_mode
        parameters = list(self.model.parameters())
        if mode == "agc":
            head = {id(parameter) for parameter in self.model.get_classifier().parameters()}
            parameters = [parameter for parameter in parameters if id(parameter) not in head]
        if self.scaler is not None:
            self.scaler(
                loss,
                self.optimizer,
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
            self.optimizer.step()

    def _check_losses(self) -> None:
        """Stop at a loss that is not finite, before anything is saved."""
        if not self.losses:
            return
        finite = torch.isfinite(torch.stack(self.losses))
        is_bad = not bool(finite.all())
        if self.world.any(is_bad):
            parts, epoch = self.protocol.grad_accum_steps, self.progress.epoch
            if not is_bad:
                raise UserError(f"another process met a loss that is not finite in epoch {epoch}")
            number = int((~finite).nonzero()[0])
            step = self.progress.step - (len(self.losses) - number + parts - 1) // parts
            where = self.loaders.describe(step * parts + number % parts)
            raise UserError(
                f"the loss is {float(self.losses[number])} at epoch {epoch}, step {step} of {self.steps} "
                f"(images: {where}); the last checkpoint is from before; try a lower --lr or --clip-grad"
            )
        self.losses.clear()

    def _stop_if_interrupted(self) -> None:
        """Save and stop when asked to; several processes agree on it now and then."""
        if self.world.size > 1 and self.progress.step % CHECK_STEPS and self.progress.step != self.steps:
            return
        if self.world.any(self.is_interrupted()):
            self._save()
            raise KeyboardInterrupt

    def _save(self, final: Accuracy | None = None) -> None:
        self.progress.seconds = time.perf_counter() - self.clock
        sums = self.world.sum(self.meter.sums.clone())
        if self.checkpoints is None or self.world.rank != 0:
            return
        state = {
            **self.extra,
            "version": 2,
            "epoch": self.progress.epoch - (self.progress.step == 0),
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "sums": sums.cpu(),
            "final": None if final is None else asdict(final),
        }
        if self.ema is not None:
            state["state_dict_ema"] = self.ema.module.state_dict()
        if self.scaler is not None:
            state[self.scaler.state_dict_key] = self.scaler.state_dict()
        self.checkpoints.save(state)

    def _resume(self) -> None:
        """Go on from the last checkpoint, in every process."""
        state = self.checkpoints.last() if self.checkpoints is not None else None
        if state is None:
            return
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["state_dict_ema"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state[self.scaler.state_dict_key])
        self.progress = Progress(**state["progress"])
        if self.world.rank == 0:
            self.meter.sums.copy_(state["sums"])
        if state["final"] is not None:
            self.final = Accuracy(**state["final"])
        if self.progress.step == 0 and self.progress.top1 and self.world.rank == 0:
            assert self.checkpoints is not None
            self.checkpoints.keep(self.progress.top1)  # the process may have been killed just before
