"""How a search judges a candidate: by training it from scratch, here or in a trial of its own.

A trial gets the options of the search and rebuilds its data from them: an evaluator holds nothing that is
large.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from nastransfer_nni.base.distributed import DistributedContext, pick_device
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import batches, halves, side, stem
from nastransfer_nni.training.loop import train
from nastransfer_nni.training.observer import Observer, Result
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import Loaders
from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.nni_api import nni
from strategies.multitrial import CandidateEvaluator

if TYPE_CHECKING:
    from nastransfer_nni.data.image_set import ImageSet


class ScratchEvaluator(CandidateEvaluator):
    """Trains a candidate on the weights half with the options of the search, and scores it on the other half.

    All candidates start from the same seed. One whose loss is not finite scores 0.

    Args:
        config: the options of the search.
    """

    def __init__(self, config: SearchConfig) -> None:
        self.config = config
        self.workers = max(1, config.workers)
        # A trial works in a folder of its own: paths must not depend on this process's.
        paths = {name: Path(getattr(config, name)) for name in ("source", "proxy")}
        self._absolute = {name: str(path.absolute()) for name, path in paths.items() if path.exists()}

    def _dump(self) -> dict[str, Any]:
        """What NNI sends to a trial."""
        return {"config": self.config.model_dump(mode="json") | self._absolute}

    @classmethod
    def _load(cls, config: dict[str, Any]) -> Self:
        """The evaluator in a trial."""
        return cls(SearchConfig(**config))

    @property
    def samples(self) -> int:  # type: ignore[override]
        """Images that pass with a gradient when a candidate is trained."""
        return self.config.epochs * len(halves(self._images, self.config)[0])

    def evaluate(self, model: Any) -> None:
        """Train NNI's current candidate and report its figures; the network that NNI has built is not used.

        It was built from whatever state the generator of random numbers was in.
        """
        try:
            result = self.train(Genotype.from_sample(nni.get_current_parameter().sample), _Reporter())
            top1, seconds = result.final.top1, result.seconds
        except UserError:
            top1, seconds = 0.0, 0.0
        nni.report_final_result({"default": top1, "samples": self.samples, "seconds": seconds})

    def train(self, genotype: Genotype, observer: Observer | None = None) -> Result:
        """Train the network of a genotype from scratch.

        Raises:
            UserError: the loss is not finite.
        """
        config = self.config
        torch.manual_seed(config.seed)
        network = DartsModel(
            genotype,
            width=config.width,
            layers=config.layers,
            num_classes=len(self._images.classes),
            stem=stem(self._images, config),
        )
        return train(
            network.to(self._processes.device),
            self._loaders,
            self._protocol,
            seed=config.seed,
            processes=self._processes,
            observer=observer,
        )

    @cached_property
    def _processes(self) -> DistributedContext:
        return DistributedContext(device=pick_device(self.config.device))

    @cached_property
    def _images(self) -> ImageSet:
        return resolve(self.config.proxy, self.config.source, self.config.proxy_seed)[0]

    @cached_property
    def _loaders(self) -> Loaders:
        weights, _, validation = batches(self._images, self.config, self._processes)
        return Loaders(weights, validation)

    @property
    def _protocol(self) -> Recipe:
        config = self.config
        return Recipe(
            protocol="search",
            width=config.width,
            layers=config.layers,
            img_size=side(self._images, config),
            epochs=config.epochs,
            batch_size=config.batch_size,
            lr=config.learning_rate,
            min_lr=config.learning_rate_min,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            clip_grad=config.gradient_clip,
        )


class _Reporter(Observer):
    """Shows a candidate's epochs to NNI."""

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        nni.report_intermediate_result(validation["top1"])
