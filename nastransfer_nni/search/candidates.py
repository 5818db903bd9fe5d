"""How a search evaluates a candidate: it trains the network from scratch, here or in an NNI trial.

A trial gets the options of the search and builds its data from them, so that little is sent to it.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from nastransfer_nni.base.distributed import DistributedContext, pick_device
from nastransfer_nni.base.paths import names_folder, names_from
from nastransfer_nni.base.tf32 import tf32
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy.choose import resolve
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import image_size, make_batches, split_images
from nastransfer_nni.training.loaders import Loaders
from nastransfer_nni.training.loop import TrainingDiverged, train
from nastransfer_nni.training.observer import Observer, Result
from search_spaces import AbstractGenotype
from search_spaces.nni_api import nni
from strategies.multitrial import CandidateEvaluator


class ScratchEvaluator(CandidateEvaluator):
    """Trains a candidate with the options of the search and scores it on the alpha split.

    It is trained on the weight split. All candidates start from the same seed.

    Args:
        config: options of the search.
        images: the proxy set; None: it is opened when the first candidate needs it, as in a trial.
        processes: this process and its device; None: the device that the options name.
        folder: folder in which relative names in the options are looked up; None: that of this process.
    """

    def __init__(
        self,
        config: SearchConfig,
        images: ImageSet | None = None,
        processes: DistributedContext | None = None,
        folder: Path | None = None,
    ) -> None:
        self.config = config
        self.workers = max(1, config.concurrency)
        self._given_images, self._given_processes = images, processes
        self._folder = (folder or names_folder()).absolute()

    def _dump(self) -> dict[str, Any]:
        """What NNI sends to a trial, which has a working directory of its own."""
        return {"config": self.config.model_dump(mode="json"), "folder": str(self._folder)}

    @classmethod
    def _load(cls, config: dict[str, Any], folder: str) -> Self:
        """The evaluator in a trial."""
        with names_from(Path(folder)):
            return cls(SearchConfig.create(config), folder=Path(folder))

    @property
    def training_images(self) -> int:  # type: ignore[override]
        """Images that are backpropagated when one candidate is trained."""
        return self.config.epochs * len(split_images(self._images, self.config)[0])

    @property
    def forward_images(self) -> int:  # type: ignore[override]
        """Images that validate one candidate, after each of its epochs that is evaluated."""
        evaluations = -(-self.config.epochs // self.config.val_interval)
        return evaluations * len(split_images(self._images, self.config)[1])

    def evaluate(self, model: Any) -> None:
        """Train NNI's current candidate and report its accuracy; one whose training diverges scores 0.

        The network that NNI has built is not used: it was built from whatever state the random generator was
        in.
        """
        genotype = self.architecture(nni.get_current_parameter().sample)
        metrics: dict[str, Any] = {
            "samples": self.training_images,
            "forward_samples": self.forward_images,
            "genotype": str(genotype),
            "skips": genotype.skips,
        }
        start_time = time.perf_counter()
        try:
            with tf32(self.config.tf32):  # a trial is a process of its own
                result = self.train(genotype, _Reporter())
            metrics |= {"default": result.final.top1, "seconds": result.seconds}
        except TrainingDiverged:
            metrics |= {"default": 0.0, "seconds": time.perf_counter() - start_time, "diverged": True}
        nni.report_final_result(metrics)

    def architecture(self, sample: dict[str, Any]) -> AbstractGenotype:
        """The genotype of an NNI sample of the search's space."""
        return self.config.space.from_sample(sample)

    def train(self, genotype: AbstractGenotype, observer: Observer | None = None) -> Result:
        """Train the network of a genotype from scratch.

        Raises:
            TrainingDiverged: the loss is not finite.
        """
        return train(
            self.network(genotype).to(self._processes.device),
            self._loaders,
            self.config.candidate_recipe(image_size(self._images, self.config)),
            seed=self.config.seed,
            processes=self._processes,
            val_interval=self.config.val_interval,
            observer=observer,
        )

    def network(self, genotype: AbstractGenotype) -> Any:
        """The untrained network of a genotype; all start from the seed of the search."""
        torch.manual_seed(self.config.seed)
        return self.config.space.build(
            genotype,
            width=self.config.width,
            layers=self.config.layers,
            num_classes=len(self._images.classes),
            stem=self.config.stem_for(image_size(self._images, self.config)),
        )

    @cached_property
    def _processes(self) -> DistributedContext:
        return self._given_processes or DistributedContext(device=pick_device(self.config.device))

    @cached_property
    def _images(self) -> ImageSet:
        if self._given_images is not None:
            return self._given_images
        with names_from(self._folder):
            return resolve(self.config.proxy, self.config.source, self.config.proxy_seed)[0]

    @cached_property
    def _loaders(self) -> Loaders:
        batches = make_batches(self._images, self.config, self._processes)
        return Loaders(batches.weights, batches.validation)


class _Reporter(Observer):
    """Shows a candidate's epochs to NNI."""

    def epoch_done(
        self, epoch: int, step: int, train: dict[str, float], validation: dict[str, float]
    ) -> None:
        if validation:
            nni.report_intermediate_result(validation["top1"])
