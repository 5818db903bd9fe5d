"""Training speed of one core of this machine, measured on one batch of random images.

One core, because jobs that run side by side get about one each, and because threads on several cores wait for
each other: on a busy machine their speed would be that of the other programs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.nni_engine.experiments import InProcessExperiment
from search_spaces import DartsSpace, Genotype
from strategies import Options
from strategies.interfaces import Tables
from strategies.supernet import Schedule, SupernetEvaluator

MAX_BATCH_SIZE = 32
"""Images per measured step; in larger batches an image takes about as long."""
MIN_PASSES, MAX_PASSES = 2, 10
"""Number of measurements, of which the fastest counts: the first one also sets up kernels and memory, and
other programs may disturb some."""
MEASURING_SECONDS = 10.0
"""Time after which `MIN_PASSES` are enough."""


@dataclass(frozen=True)
class NetworkSize:
    """What the speed of a network or supernet depends on.

    Attributes:
        width: channels of the first cell's nodes.
        layers: number of cells.
        stem: layers before the first cell, cifar or imagenet.
        classes: number of classes.
        img_size: height and width of the images in px.
        batch_size: images per step.
        auxiliary: whether the network has an auxiliary head.
    """

    width: int
    layers: int
    stem: str
    classes: int
    img_size: int
    batch_size: int
    auxiliary: bool = False

    @property
    def measured_batch_size(self) -> int:
        """Images per measured step."""
        return min(MAX_BATCH_SIZE, self.batch_size)


@contextmanager
def _one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
@_one_core()
def network_speed(size: NetworkSize) -> float:
    """Images per second, forward and backward, of a network with a random cell."""
    network = DartsModel(
        Genotype.random(np.random.default_rng(0)),
        width=size.width,
        layers=size.layers,
        num_classes=size.classes,
        stem=size.stem,
        auxiliary=size.auxiliary,
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(size.measured_batch_size, 3, size.img_size, size.img_size)
    images = images.to(memory_format=torch.channels_last)
    seconds: list[float] = []
    while len(seconds) < MIN_PASSES or (len(seconds) < MAX_PASSES and sum(seconds) < MEASURING_SECONDS):
        start_time = time.perf_counter()
        outputs = network(images)
        logits = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.autograd.backward([tensor.sum() for tensor in logits])
        seconds.append(time.perf_counter() - start_time)
    return size.measured_batch_size / min(seconds)


@cache
@_one_core()
def supernet_speed(options: Options, size: NetworkSize) -> float:
    """Images per second in the training steps of a search on shared weights.

    Args:
        options: options of the strategy; its search takes `MIN_PASSES` epochs of one batch.
        size: size of the supernet.
    """
    batches = _RandomBatch(size.measured_batch_size, size.classes, size.img_size)
    recorder = _SpeedRecorder()
    evaluator = SupernetEvaluator(
        weights=batches,
        alphas=batches,
        validation=batches,
        schedule=Schedule(epochs=MIN_PASSES),
        recorder=recorder,
    )
    space = DartsSpace(size.width, size.layers, size.classes, size.stem)
    with tempfile.TemporaryDirectory() as folder:
        InProcessExperiment(space, evaluator, options.create(), Path(folder)).search()
    return recorder.images_per_second


@dataclass
class _RandomBatch:
    """One batch of random images and labels."""

    batch_size: int
    classes: int
    img_size: int

    @property
    def samples(self) -> int:
        return self.batch_size

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch_size, 3, self.img_size, self.img_size, generator=generator)
        yield images, torch.randint(self.classes, (self.batch_size,), generator=generator)


class _SpeedRecorder:
    """Keeps the training speed of the fastest epoch."""

    images_per_second = 0.0

    def expect(self, total: int) -> None: ...

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        self.images_per_second = max(self.images_per_second, values.get("images_per_second", 0.0))

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None: ...

    def advance(self, epoch: int, done: int, total: int) -> None: ...
