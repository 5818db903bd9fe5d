"""Training speed of one core of this machine, measured on one batch of random images.

One core, because jobs that run side by side get about one each, and because threads on several cores wait for
each other: on a busy machine their speed would be that of the other programs.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import timm
import torch

from nastransfer_nni.nni_engine.experiments import InProcessExperiment
from nastransfer_nni.proxy import networks
from nastransfer_nni.training.loaders import Loaders
from nastransfer_nni.training.loop import train
from nastransfer_nni.training.observer import Observer
from nastransfer_nni.training.recipes import Recipe
from search_spaces import AbstractGenotype, Space
from search_spaces.geometry import SMALL_PIXELS
from search_spaces.registry import default
from strategies import Options
from strategies.interfaces import Tables
from strategies.supernet import Schedule, SupernetEvaluator

MAX_BATCH_SIZE = 32
"""Images per measured step; in larger batches an image of more than `SMALL_PIXELS` takes about as long."""
MIN_PASSES, MAX_PASSES = 2, 8
"""Number of measured epochs of one batch, of which the median counts, without the first one, which also sets
up kernels and memory. Large images take long, so few passes have to do."""


@dataclass(frozen=True)
class Speed:
    """Speed of one core.

    Attributes:
        training: images per second, forward and backward.
        scoring: images per second, forward only.
    """

    training: float
    scoring: float


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
        space: search space of its cells.
    """

    width: int
    layers: int
    stem: str
    classes: int
    img_size: int
    batch_size: int
    space: Space = field(default_factory=default)

    @property
    def measured_batch_size(self) -> int:
        """Images per measured step; a step on few small images takes as long as one on some more."""
        return self.batch_size if self.img_size <= SMALL_PIXELS else min(MAX_BATCH_SIZE, self.batch_size)

    @property
    def passes(self) -> int:
        """Measured epochs."""
        return MAX_PASSES if self.img_size <= SMALL_PIXELS else MIN_PASSES


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
def network_speed(size: NetworkSize, recipe: Recipe) -> Speed:
    """Speed of a network with a random cell, in the training loop of transfers and candidates.

    Args:
        size: size of the network and of its batches.
        recipe: how it is trained.
    """
    network = size.space.build(
        size.space.random(np.random.default_rng(0)),
        width=size.width,
        layers=size.layers,
        num_classes=size.classes,
        stem=size.stem,
        auxiliary=recipe.auxiliary_weight > 0,
    )
    batch = _RandomBatch(size.measured_batch_size, size.classes, size.img_size)
    changes = {
        "epochs": size.passes,
        "warmup_epochs": 0,
        "batch_size": size.measured_batch_size,
        "grad_accum_steps": 1,
    }
    times = _EpochTimes()
    train(network, Loaders(batch, batch), recipe.model_copy(update=changes), observer=times)
    return Speed(size.measured_batch_size / times.training, size.measured_batch_size / times.scoring)


@cache
@_one_core()
def supernet_speed(options: Options, size: NetworkSize) -> Speed:
    """Speed of a search on shared weights.

    Args:
        options: options of the strategy; its search takes a few epochs of one batch.
        size: size of the supernet.
    """
    batches = _RandomBatch(size.measured_batch_size, size.classes, size.img_size)
    recorder = _SpeedRecorder()
    evaluator = SupernetEvaluator(
        weights=batches,
        alphas=batches,
        validation=batches,
        schedule=Schedule(epochs=size.passes),
        recorder=recorder,
    )
    space = size.space.model_space(size.width, size.layers, size.classes, size.stem)
    with tempfile.TemporaryDirectory() as folder:
        InProcessExperiment(space, evaluator, options.create(), Path(folder)).search()
    per_epoch = (
        options.forward_images(epochs, batches.samples, batches.samples, batches.batch_size)
        for epochs in (2, 1)
    )
    return Speed(recorder.images_per_second, int.__sub__(*per_epoch) / recorder.scoring_seconds)


@cache
@_one_core()
def scorer_speed(scorer: str, classes: int, img_size: int) -> Speed:
    """Speed of a network that scores images for proxies, on images of the size that it sees.

    Args:
        scorer: network, or timm:MODEL, of which only the speed of scoring is measured.
        classes: number of classes of the source.
        img_size: height and width of the source's images in px.
    """
    name = scorer.removeprefix("timm:").partition("@")[0]
    if scorer == "network":
        size, network = min(img_size, SMALL_PIXELS), networks.ResNet20(classes)
    else:
        network = timm.create_model(name)
        size = network.pretrained_cfg["input_size"][-1]
    ((images, labels),) = _RandomBatch(MAX_BATCH_SIZE, classes, size)
    with torch.no_grad():
        scoring = _median_seconds(lambda: network.eval()(images))
    if scorer != "network":
        return Speed(math.inf, MAX_BATCH_SIZE / scoring)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(network.train()(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    return Speed(MAX_BATCH_SIZE / _median_seconds(step), MAX_BATCH_SIZE / scoring)


def _median_seconds(work: Callable[[], object]) -> float:
    """Duration of some work, without the first time, which also sets up kernels and memory."""
    seconds = []
    for _ in range(MIN_PASSES + 2):
        start_time = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start_time)
    return statistics.median(seconds[1:])


@dataclass
class _RandomBatch:
    """One batch of random images and labels."""

    batch_size: int
    classes: int
    img_size: int

    @property
    def samples(self) -> int:
        return self.batch_size

    def set_epoch(self, epoch: int, start: int = 0) -> None: ...

    def rows(self, number: int) -> list[int]:
        return []

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch_size, 3, self.img_size, self.img_size, generator=generator)
        yield images, torch.randint(self.classes, (self.batch_size,), generator=generator)


class _EpochTimes(Observer):
    """Keeps the seconds of every epoch."""

    def __init__(self) -> None:
        self._training: list[float] = []
        self._scoring: list[float] = []

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        self._training.append(train["seconds"])
        self._scoring.append(validation["seconds"])

    @property
    def training(self) -> float:
        return statistics.median(self._training[1:])

    @property
    def scoring(self) -> float:
        return statistics.median(self._scoring[1:])


class _SpeedRecorder:
    """Keeps the training speed of every epoch, and the seconds of the scoring after each."""

    def __init__(self) -> None:
        self._speeds: list[float] = []
        self._scoring: list[float] = []
        self._trained = 0.0

    def expect(self, total: int | None) -> None: ...

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        if "images_per_second" in values:
            self._speeds.append(values["images_per_second"])
            self._scoring.append(time.perf_counter() - self._trained)

    def record(self, epoch: int, genotype: AbstractGenotype, mixture: Tables, top1: float) -> None: ...

    def advance(self, epoch: int, done: int, total: int) -> None:
        self._trained = time.perf_counter()

    @property
    def images_per_second(self) -> float:
        return statistics.median(self._speeds[1:])

    @property
    def scoring_seconds(self) -> float:
        return statistics.median(self._scoring[1:])
