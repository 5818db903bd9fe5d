"""Images that a study's jobs train on and score, and the time it takes, estimated from their options."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import LARGE_PIXELS
from nastransfer_nni.study.overhead import ASSUMED, Overheads, measured
from nastransfer_nni.study.sizes import SetSizes
from nastransfer_nni.study.speed import NetworkSize, Speed, network_speed, supernet_speed
from nastransfer_nni.transfer.config import TransferConfig

FORWARD_SHARE = 1 / 3
"""Cost of an image that is only scored, relative to one that is trained on, where the speed is assumed: the
backward pass costs twice the forward pass."""


@dataclass(frozen=True)
class JobCost:
    """Estimated cost of a job.

    Attributes:
        training_images: number of images that are backpropagated.
        forward_images: number of images that pass without a gradient.
        seconds: duration on the machine whose speed was measured or assumed.
        scoring_seconds: seconds of them in which images are scored.
    """

    training_images: int = 0
    forward_images: int = 0
    seconds: float = 0.0
    scoring_seconds: float = 0.0


class CostModel:
    """Estimates the cost of searches and transfers.

    Args:
        images_per_second: training speed in images/s; None: that of this machine, measured for each kind of
            job, as is what a job takes besides training and scoring.
    """

    def __init__(self, images_per_second: float | None = None) -> None:
        self._assumed: Speed | None = None
        if images_per_second is not None:
            self._assumed = Speed(images_per_second, images_per_second / FORWARD_SHARE)
        self._sizes = SetSizes()
        self._costs: dict[str, JobCost] = {}

    def cost(self, config: SearchConfig | TransferConfig) -> JobCost:
        """Cost of one job with these options; random seeds and the cell are taken not to matter."""
        key = config.model_dump_json(exclude={"seed", "proxy_seed", "arch"})
        if key not in self._costs:
            if isinstance(config, SearchConfig):
                self._costs[key] = self._search_cost(config)
            else:
                self._costs[key] = self._transfer_cost(config)
        return self._costs[key]

    def images_to_evaluate(self, config: TransferConfig) -> int:
        """Number of images that a transfer evaluates on."""
        return self._sizes.evaluated(config)

    def _transfer_cost(self, config: TransferConfig) -> JobCost:
        recipe = config.recipe
        target = self._sizes.of(config.target, config.train_split)
        images, evaluated = round(target.images * (1 - config.val_share)), self._sizes.evaluated(config)
        images = min(images, config.train_images or images)
        steps = images // recipe.batch_size  # whole batches only
        img_size = recipe.img_size or target.img_size or LARGE_PIXELS
        network = NetworkSize(
            width=recipe.width,
            layers=recipe.layers,
            stem=recipe.stem_for(img_size),
            classes=target.classes,
            img_size=img_size,
            batch_size=recipe.batch_size // recipe.grad_accum_steps,
        )
        evaluations = -(-recipe.epochs // config.val_interval)
        trained, scored = recipe.epochs * steps * recipe.batch_size, evaluations * evaluated
        besides = self._overheads.transfer + recipe.epochs * self._overheads.epoch
        besides += self._overheads.decoding(images + evaluated, trained + scored, img_size)
        return _timed(trained, scored, self._assumed or network_speed(network, recipe), besides)

    def _search_cost(self, config: SearchConfig) -> JobCost:
        options = config.strategy.options
        source = self._sizes.of(config.source, "train")
        proxy = config.proxy.size(source.images, source.classes)
        weights, alphas = (
            round(proxy.images * share) for share in (config.weights_share, config.alphas_share)
        )

        def training_images(epochs: int) -> int:
            return options.training_images(epochs, weights, alphas, config.batch_size)

        records = epochs = config.epochs
        if config.budget is None:
            trained = training_images(epochs)
            scored = options.forward_images(epochs, weights, alphas, config.batch_size)
        elif options.shares_weights:
            records = epochs = bisect_right(range(1, config.budget + 1), config.budget, key=training_images)
            trained = training_images(epochs)
            scored = options.forward_images(epochs, weights, alphas, config.batch_size)
        else:
            records = config.budget // (epochs * weights)
            trained = records * epochs * weights
            scored = records * epochs * alphas
        img_size = config.img_size or _resized_to(config.proxy) or source.img_size or LARGE_PIXELS
        besides = self._overheads.search
        if not trained and not scored:
            return JobCost(seconds=besides)
        besides += records * self._overheads.record
        besides += self._overheads.decoding(weights + alphas, trained + scored, img_size)
        network = NetworkSize(
            width=config.width,
            layers=config.layers,
            stem=config.stem_for(img_size),
            classes=proxy.classes,
            img_size=img_size,
            batch_size=config.batch_size,
        )
        return _timed(trained, scored, self._assumed or _search_speed(config, network), besides)

    @property
    def _overheads(self) -> Overheads:
        return ASSUMED if self._assumed else measured()


def _search_speed(config: SearchConfig, network: NetworkSize) -> Speed:
    if config.strategy.options.shares_weights:
        return supernet_speed(config.strategy.options.speed_probe(), network)
    return network_speed(network, config.candidate_recipe(network.img_size))


def _timed(trained: int, scored: int, speed: Speed, besides: float) -> JobCost:
    scoring = scored / speed.scoring
    return JobCost(trained, scored, trained / speed.training + scoring + besides, scoring)


def _resized_to(proxy: ProxySpec) -> int | None:
    """Height and width in px that a proxy set resizes images to; None: their own size."""
    if proxy.manifest is not None:
        return Manifest.read(proxy.manifest).img_size
    img_size = None
    for step in proxy.steps:
        img_size = step.resized_to(img_size)
    return img_size
