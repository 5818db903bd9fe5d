"""How a search without training evaluates a candidate: by scores of its untrained network."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from torch import Tensor

from nastransfer_nni.base.tf32 import tf32
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.data import make_batches
from search_spaces import AbstractGenotype
from search_spaces.nni_api import nni
from strategies.scores.base import Sees
from strategies.scores.options import ScoreOptions


class ScoreEvaluator(ScratchEvaluator):
    """Scores the network of a candidate on the first batches of the weight split; nothing is trained.

    All candidates start from the same seed and see the same batches.
    """

    @property
    def training_images(self) -> int:  # type: ignore[override]
        """Images that are backpropagated when one candidate is scored."""
        return self._images_of(score.backpropagates for score in self._options.scores)

    @property
    def forward_images(self) -> int:  # type: ignore[override]
        """Images that pass without a gradient when one candidate is scored."""
        scores = self._options.scores
        return self._images_of(
            score.sees is not Sees.NOTHING and not score.backpropagates for score in scores
        )

    def _images_of(self, passes: Iterable[bool]) -> int:
        return sum(passes) * sum(len(images) for images, _ in self.batches)

    def evaluate(self, model: Any) -> None:
        """Score NNI's current candidate: the first score is its result, and all are reported by name."""
        started = time.perf_counter()
        with tf32(self.config.tf32):  # a trial is a process of its own
            scores = self.scores(self.architecture(nni.get_current_parameter().sample))
        metrics = {
            "default": scores[self._options.scores[0].name],
            "scores": scores,
            "samples": self.training_images,
            "forward_samples": self.forward_images,
            "seconds": time.perf_counter() - started,
        }
        nni.report_final_result(metrics)

    def scores(self, genotype: AbstractGenotype) -> dict[str, float]:
        """The scores of a genotype's untrained network, by name."""
        network = self.network(genotype).to(self._processes.device)
        return {score.name: score(network, self.batches) for score in self._options.scores}

    @cached_property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """The batches that every candidate is scored on."""
        stream = make_batches(self._images, self.config, self._processes).weights
        stream.set_epoch(0)
        return list(itertools.islice(stream, self._options.batches))

    @property
    def _options(self) -> ScoreOptions:
        options = self.config.strategy.options
        assert isinstance(options, ScoreOptions)
        return options
