"""Images that a study's jobs train on and score, and the time it takes, estimated from their options."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.scorers import ScoreSource
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import LARGE_PIXELS
from nastransfer_nni.study.overhead import ASSUMED, Overheads, measured
from nastransfer_nni.study.sizes import SetSizes
from nastransfer_nni.study.speed import NetworkSize, Speed, network_speed, scorer_speed, supernet_speed
from nastransfer_nni.training.loaders import keeps_last
from nastransfer_nni.transfer.config import TransferConfig
from strategies.budget import Budget, Cost
from strategies.options import CandidateOptions

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
        scorers: what the proxy's scorers take besides, which work once for all searches.
    """

    training_images: int = 0
    forward_images: int = 0
    seconds: float = 0.0
    scoring_seconds: float = 0.0
    scorers: Cost = field(default_factory=Cost)


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
        left_out = 0 if keeps_last(images, recipe.batch_size, recipe) else images % recipe.batch_size
        img_size = recipe.img_size or target.img_size or LARGE_PIXELS
        network = NetworkSize(
            width=recipe.width,
            layers=recipe.layers,
            stem=recipe.stem_for(img_size),
            classes=target.classes,
            img_size=img_size,
            batch_size=recipe.batch_size // recipe.grad_accum_steps,
            space=config.arch.space,
        )
        evaluations = -(-recipe.epochs // config.val_interval)
        trained, scored = recipe.epochs * (images - left_out), evaluations * evaluated
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

        img_size = config.img_size or _resized_to(config.proxy) or source.img_size or LARGE_PIXELS
        network = NetworkSize(
            width=config.width,
            layers=config.layers,
            stem=config.stem_for(img_size),
            classes=proxy.classes,
            img_size=img_size,
            batch_size=config.batch_size,
            space=config.space,
        )
        scorers, besides = self.scorers([config]), self._overheads.search
        sizes = (config.epochs, weights, alphas, config.batch_size)
        if not options.training_images(*sizes) and not options.forward_images(*sizes) and not config.budget:
            return JobCost(seconds=besides, scorers=scorers)
        speed = self._assumed or _search_speed(config, network)
        records, cost = _within_budget(config, scorers, weights, alphas, speed)
        besides += records * self._overheads.record
        passes = cost.images + cost.forward_images
        besides += self._overheads.decoding(weights + alphas, passes, img_size)
        return replace(_timed(cost.images, cost.forward_images, speed, besides), scorers=scorers)

    def scorers(self, configs: Iterable[SearchConfig]) -> Cost:
        """What the scorers of these searches' proxies take, each once; what no file says counts as none."""
        costs: dict[object, Cost] = {}
        for config in configs:
            proxy = config.proxy
            if proxy.manifest is not None:
                costs[proxy.manifest] = proxy.scorer_cost(0) or Cost()
            for scores, column in proxy.computations:
                key = (config.source.text, scores, column)
                if key not in costs:
                    costs[key] = self._scorer_cost(config.source, scores, column)
        return sum(costs.values(), Cost())

    def _scorer_cost(self, source: Source, scores: ScoreSource, column: str) -> Cost:
        size = self._sizes.of(source, "train")
        cost = scores.cost(column, size.images) or Cost()
        if scores.file is not None:
            return cost
        speed = self._assumed or scorer_speed(scores.scorer, size.classes, size.img_size or LARGE_PIXELS)
        return replace(cost, seconds=cost.images / speed.training + cost.forward_images / speed.scoring)

    @property
    def _overheads(self) -> Overheads:
        return ASSUMED if self._assumed else measured()


def _within_budget(
    config: SearchConfig, scorers: Cost, weights: int, alphas: int, speed: Speed
) -> tuple[int, Cost]:
    """Number of epochs or candidates of a search, and its images."""
    options, budget = config.strategy.options, (config.budget or Budget()).after(scorers)

    def cost(epochs: int) -> Cost:
        return options.cost(epochs, weights, alphas, config.batch_size, config.val_interval)

    if isinstance(options, CandidateOptions) and not options.shares_weights:
        each = options.candidate_cost(config.epochs, weights, alphas, config.batch_size)
        skipped = options.skipped_images(config.epochs, alphas, config.batch_size, config.val_interval)
        each = replace(each, forward_images=each.forward_images - skipped // options.total)
        fitting = budget.most(each.times, "candidate")
        in_time = _units_in_time(each, speed, budget)
        if fitting is None and in_time is None:
            return options.total, cost(config.epochs)
        units = min(number for number in (fitting, in_time) if number is not None)
        return units, each.times(units)
    fitting = budget.most(cost, "epoch", more=1 + config.val_interval) or config.epochs
    in_time = _units_in_time(cost(fitting), speed, budget, fitting)
    epochs = fitting if in_time is None else min(fitting, in_time)
    return epochs, cost(epochs)


def _units_in_time(cost: Cost, speed: Speed, budget: Budget, units: int = 1) -> int | None:
    """Number of epochs or candidates until the seconds of a budget are over; None: it has none.

    Args:
        cost: images of `units` of them.
        speed: speed of the search.
        budget: what is left of the budget.
        units: number of epochs or candidates.
    """
    if budget.max_seconds is None:
        return None
    seconds = (cost.images / speed.training + cost.forward_images / speed.scoring) / units
    return math.ceil(budget.max_seconds / seconds) if seconds else None


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
