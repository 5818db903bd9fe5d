"""What a study will run, what that will cost, and which difference its design can detect."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

import strategies
from nastransfer_nni.data import loading
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.nni_engine.experiments import InProcessExperiment
from nastransfer_nni.proxy import spec
from nastransfer_nni.report.statistics.power import detectable_difference
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study import status
from nastransfer_nni.study.design import BASELINE, Job, Study, is_random
from nastransfer_nni.training.target import part_to_evaluate
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces import DartsSpace, Genotype
from search_spaces.geometry import default_stem
from strategies.interfaces import Tables
from strategies.supernet import Schedule, SupernetEvaluator

MEASURED_BATCH = 32
"""Images of a measured step, at most; larger batches cost about as much an image."""
SCORING = 1 / 3
"""What an image without a gradient costs beside one with: the backward pass is two thirds of the work."""


def describe(
    study: Study, root: Path, images_per_second: float | None, deviation: float, list_jobs: bool
) -> str:
    """The plan of a study, as text.

    Args:
        study: the study.
        root: its folder; what is done there is not counted again.
        images_per_second: speed to reckon with; None: measure a step of each kind here.
        deviation: standard deviation of top1 between runs.
        list_jobs: whether to name every job.
    """
    left = [job for job in study.jobs if status.standing(job, root).status != status.FINISHED]
    seconds = {
        job.name: (samples(job) + scored(job) * SCORING) / (images_per_second or speed(job))
        for job in left
        if samples(job)
    }
    lines = [f"study {study.name}: {len(study.jobs)} jobs, {len(study.jobs) - len(left)} done in {root}"]
    for kind, plural in (("search", "searches"), ("transfer", "transfers")):
        jobs = [job for job in left if job.kind == kind]
        images = sum(samples(job) for job in jobs)
        took = sum(seconds.get(job.name, 0.0) for job in jobs)
        lines.append(f"  {len(jobs)} {plural} left: {images:,} images with a gradient, {_duration(took)}")
    how = f"at {images_per_second:,g} images a second" if images_per_second else "measured on this machine"
    lines.append(f"  in all {_duration(sum(seconds.values()))} of one worker, {how}")
    lines += _power(study, deviation)
    if list_jobs:
        lines += [f"  {job.kind:<8} {job.name}  {_duration(seconds.get(job.name, 0.0))}" for job in left]
    return "\n".join(lines)


def samples(job: Job) -> int:
    """Images that pass with a gradient in the whole of `job`, as far as its options tell."""
    config = job.config
    if isinstance(config, TransferConfig):
        images = _length(config.target, config.train_split) * (1 - config.val_share)
        return config.resolved().epochs * round(images)
    name, options = strategies.parse(config.strategy)
    if config.budget is not None:
        return config.budget
    if options.shares_weights():
        return config.epochs * _epoch(config)
    candidates = getattr(options, "total", getattr(options, "samples", 0))
    return 0 if (name, candidates) == (BASELINE, 1) else candidates * config.epochs * _epoch(config)


def scored(job: Job) -> int:
    """Images that pass without a gradient in the whole of `job`, as far as its options tell."""
    config = job.config
    if isinstance(config, TransferConfig):
        images = _evaluated(config.target, config.val_split, config.train_split, config.val_share)
        return config.resolved().epochs * images
    options = strategies.parse(config.strategy)[1]
    validation = round(_proxy_size(config) * config.alphas_share)
    epochs = samples(job) // _epoch(config)
    if not options.shares_weights():
        return epochs * validation
    return options.scored_images(epochs, config.batch_size, validation)


def _epoch(config: SearchConfig) -> int:
    """Images that pass with a gradient in an epoch of a search."""
    alphas = isinstance(strategies.parse(config.strategy)[1], strategies.options.DartsOptions)
    return round(_proxy_size(config) * (config.weights_share + (config.alphas_share if alphas else 0)))


def speed(job: Job) -> float:
    """Images a second that this machine trains with in `job`."""
    config = job.config
    if isinstance(config, TransferConfig):
        protocol = config.resolved()
        pixels = protocol.img_size or _pixels(config.target)
        batch = min(MEASURED_BATCH, protocol.batch_size)
        return _network_speed(protocol.width, protocol.layers, _classes(config.target), pixels, batch)
    pixels = config.pixels or _pixels(config.source)
    setting = (
        config.width,
        config.layers,
        _classes(config.source),
        pixels,
        min(MEASURED_BATCH, config.batch_size),
    )
    options = strategies.parse(config.strategy)[1]
    if not options.shares_weights():
        return _network_speed(*setting)
    # All that sample cells train shared weights alike, and what they do besides is counted in `scored`.
    differentiable = isinstance(options, strategies.options.DartsOptions)
    return _supernet_speed(config.strategy if differentiable else "random_ws:candidates=1", *setting)


@cache
def _network_speed(width: int, layers: int, classes: int, pixels: int, batch: int) -> float:
    stem = default_stem(pixels)
    network = DartsModel(
        Genotype.random(np.random.default_rng(0)), width=width, layers=layers, num_classes=classes, stem=stem
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(batch, 3, pixels, pixels).to(memory_format=torch.channels_last)
    for _ in range(2):  # the first pass sets things up
        began = time.perf_counter()
        network(images).sum().backward()
        seconds = time.perf_counter() - began
    return batch / seconds


@cache
def _supernet_speed(strategy: str, width: int, layers: int, classes: int, pixels: int, batch: int) -> float:
    name, options = strategies.parse(strategy)
    content = _Noise(batch, classes, pixels)
    watch = _Watch()
    evaluator = SupernetEvaluator(content, content, content, Schedule(epochs=2), watch)
    stem = default_stem(pixels)
    space = DartsSpace(width, layers, classes, stem)
    with tempfile.TemporaryDirectory() as folder:
        searching = strategies.create(name, **options.model_dump())
        InProcessExperiment(space, evaluator, searching, Path(folder)).search()
    return watch.images_per_second


@dataclass
class _Noise:
    """One batch of random images."""

    batch_size: int
    classes: int
    pixels: int

    @property
    def samples(self) -> int:
        return self.batch_size

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch_size, 3, self.pixels, self.pixels, generator=generator)
        yield images, torch.randint(self.classes, (self.batch_size,), generator=generator)


class _Watch:
    """Notes how fast the last epoch trained."""

    images_per_second = 0.0

    def expect(self, total: int) -> None: ...

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        self.images_per_second = values.get("images_per_second", self.images_per_second)

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None: ...

    def advance(self, epoch: int, done: int, total: int) -> None: ...


@cache
def _length(name: str, split: str = "train") -> int:
    return len(loading.load(name, split))


@cache
def _evaluated(name: str, split: str, train_split: str, share: float) -> int:
    return len(part_to_evaluate(name, split=split, train_split=train_split, share=share, seed=0))


@cache
def _classes(name: str) -> int:
    return len(loading.load(name, "train").classes)


@cache
def _pixels(name: str) -> int:
    return max(loading.load(name, "train").pixels or (224,))


def _proxy_size(config: SearchConfig) -> int:
    """Images of the proxy, classes counted as equally large; steps that cannot tell keep all."""
    if spec.is_manifest(config.proxy):
        from nastransfer_nni.proxy.manifest import Manifest

        return sum(record.images for record in Manifest.read(config.proxy).classes.values())
    size, classes = float(_length(config.source)), _classes(config.source)
    for step in spec.parse_steps(config.proxy):
        wanted = getattr(step, "num_classes", None)
        if wanted is not None:
            size, classes = size * wanted / classes, wanted
        if (per_class := getattr(step, "per_class", None)) is not None:
            size = per_class * classes
        if (amount := getattr(step, "amount", None)) is not None:
            size = amount if amount > 1 else size * amount
        size *= getattr(step, "share", 1.0)
    return round(size)


def _power(study: Study, deviation: float) -> list[str]:
    """What the design can detect, for a comparison alone and for the first of Holm's."""
    cells = [proxy for proxies in study.proxies_of.values() for proxy in proxies]
    draws = max(len(study.proxy_seeds) if is_random(proxy) else 1 for proxy in cells)
    runs = draws * len(study.search_seeds)
    comparisons = len(study.strategies) * len(cells)
    told = f"  power: {runs} searches of a strategy and proxy against {study.random_cells} random cells"
    if runs < 2:
        return [f"{told}: one search cannot be compared; add search_seeds"]
    alone = detectable_difference(runs, study.random_cells, deviation)
    first = detectable_difference(runs, study.random_cells, deviation, alpha=0.05 / comparisons)
    return [
        f"{told}, at a standard deviation of {deviation:g} points of top1,",
        f"    find a difference of {alone:.2f} points with probability 0.8,",
        f"    and one of {first:.2f} points as the first of Holm's {comparisons} comparisons",
    ]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
