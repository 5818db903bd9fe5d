"""Images that a study's jobs train on and score, and the time it takes, estimated from their options."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from nastransfer_nni.data import loading
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import LARGE_PIXELS
from nastransfer_nni.study.speed import NetworkSize, network_speed, supernet_speed
from nastransfer_nni.training.target import part_to_evaluate
from nastransfer_nni.transfer.config import TransferConfig

FORWARD_SHARE = 1 / 3
"""Cost of an image that is only scored, relative to one that is trained on: the backward pass costs twice the
forward pass."""


@dataclass(frozen=True)
class JobCost:
    """Estimated cost of a job.

    Attributes:
        training_images: number of images that are backpropagated.
        scored_images: number of images that pass without a gradient.
        seconds: duration on the machine whose speed was measured or assumed.
    """

    training_images: int = 0
    scored_images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _SetSize:
    images: int
    classes: int
    img_size: int | None


class CostModel:
    """Estimates the cost of searches and transfers; every image set is opened once.

    Args:
        images_per_second: training speed in images/s; None: that of this machine, measured for each kind of
            job.
    """

    def __init__(self, images_per_second: float | None = None) -> None:
        self._images_per_second = images_per_second
        self._sizes: dict[tuple[str, str], _SetSize] = {}
        self._evaluated: dict[tuple[str, str, str, float], int] = {}

    def cost(self, config: SearchConfig | TransferConfig) -> JobCost:
        """Cost of one job with these options."""
        if isinstance(config, SearchConfig):
            return self._search_cost(config)
        return self._transfer_cost(config)

    def _transfer_cost(self, config: TransferConfig) -> JobCost:
        recipe = config.recipe
        target = self._size(config.target, config.train_split)
        steps = round(target.images * (1 - config.val_share)) // recipe.batch_size  # whole batches only
        trained = recipe.epochs * steps * recipe.batch_size
        scored = recipe.epochs * self._images_to_evaluate(config)
        img_size = recipe.img_size or target.img_size or LARGE_PIXELS
        network = NetworkSize(
            width=recipe.width,
            layers=recipe.layers,
            stem=recipe.stem_for(img_size),
            classes=target.classes,
            img_size=img_size,
            batch_size=recipe.batch_size // recipe.grad_accum_steps,
            auxiliary=recipe.auxiliary_weight > 0,
        )
        return self._timed(trained, scored, self._images_per_second or network_speed(network))

    def _search_cost(self, config: SearchConfig) -> JobCost:
        options = config.strategy.options
        source = self._size(config.source, "train")
        proxy = config.proxy.size(source.images, source.classes)
        weights, alphas = (
            round(proxy.images * share) for share in (config.weights_share, config.alphas_share)
        )

        def training_images(epochs: int) -> int:
            return options.training_images(epochs, weights, alphas, config.batch_size)

        if config.budget is None:
            trained = training_images(config.epochs)
            scored = options.scored_images(config.epochs, config.batch_size, alphas)
        elif options.shares_weights:
            epochs = bisect_right(range(1, config.budget + 1), config.budget, key=training_images)
            trained = training_images(epochs)
            scored = options.scored_images(epochs, config.batch_size, alphas)
        else:
            candidates = config.budget // (config.epochs * weights)
            trained = candidates * config.epochs * weights
            scored = candidates * config.epochs * alphas
        if not trained:
            return JobCost()
        img_size = config.img_size or _resized_to(config.proxy) or source.img_size or LARGE_PIXELS
        network = NetworkSize(
            width=config.width,
            layers=config.layers,
            stem=config.stem_for(img_size),
            classes=proxy.classes,
            img_size=img_size,
            batch_size=config.batch_size,
        )
        if self._images_per_second is not None:
            return self._timed(trained, scored, self._images_per_second)
        probe = options.speed_probe()
        speed = supernet_speed(probe, network) if options.shares_weights else network_speed(network)
        return self._timed(trained, scored, speed)

    def _timed(self, trained: int, scored: int, images_per_second: float) -> JobCost:
        return JobCost(trained, scored, (trained + scored * FORWARD_SHARE) / images_per_second)

    def _size(self, source: Source, split: str) -> _SetSize:
        key = (source.text, split)
        if key not in self._sizes:
            images = loading.load(source, split)
            pixels = max(images.pixels) if images.pixels else None
            self._sizes[key] = _SetSize(len(images), len(images.classes), pixels)
        return self._sizes[key]

    def _images_to_evaluate(self, config: TransferConfig) -> int:
        key = (config.target.text, config.val_split, config.train_split, config.val_share)
        if key not in self._evaluated:
            images = part_to_evaluate(
                config.target,
                split=config.val_split,
                train_split=config.train_split,
                share=config.val_share,
                seed=0,
            )
            self._evaluated[key] = len(images)
        return self._evaluated[key]


def _resized_to(proxy: ProxySpec) -> int | None:
    """Height and width in px that a proxy set resizes images to; None: their own size."""
    if proxy.manifest is not None:
        return Manifest.read(proxy.manifest).img_size
    img_size = None
    for step in proxy.steps:
        img_size = step.resized_to(img_size)
    return img_size
