"""Options of the strategies that come with the package, with their published defaults.

Importing them imports neither torch nor NNI: each names the class that implements it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from search_spaces.errors import UserError
from strategies.options import CandidateOptions, Options

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy

MONITORED_CELLS = 10
"""Cells that a strategy of sampled cells scores after every epoch, each on one validation batch."""


def _create(implementation: str, options: Options) -> Strategy:
    """Make a strategy whose class (`module:class`) imports torch and NNI, which options do without."""
    module, name = implementation.split(":")
    return getattr(importlib.import_module(module), name)(options)


def _in_batches(batches: int, batch_size: int, images: int) -> int:
    """Images of so many batches, read from a split of `images` images again and again."""
    per_pass = -(-images // batch_size)
    passes, rest = divmod(batches, per_pass)
    return passes * images + rest * batch_size


def monitored_images(epochs: int, batch_size: int, images: int) -> int:
    """Images of the cells that are scored after every epoch, on a split of `images` images."""
    return epochs * _in_batches(MONITORED_CELLS, batch_size, images)


class SampledCellOptions(Options):
    """Base of the options of strategies that train shared weights by sampling cells."""

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient before the choice of a cell: the monitored cells."""
        return monitored_images(epochs, batch_size, alpha_images)

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that the monitored cells of one epoch are scored on."""
        return monitored_images(1, batch_size, alpha_images)

    def speed_probe(self) -> Options:
        """Random search with weight sharing: all such strategies train the shared weights alike."""
        return RandomWsOptions(candidates=1, batches=1, finalists=1)


class RandomOptions(CandidateOptions):
    """Uniform draws over the cells.

    Attributes:
        has_own_stream: whether the single cell of the baseline comes from a random stream of its own, so that
            it never equals the first candidate of another search with the same seed.
    """

    renamed: ClassVar[Mapping[str, str]] = {"samples": "candidates"}
    has_own_stream: ClassVar[bool] = True

    candidates: int = Field(
        1,
        ge=1,
        description="number of cells drawn; 1: no training, the baseline of a study; more: each is trained",
    )

    @property
    def total(self) -> int:
        """Number of candidates of a search without a budget."""
        return self.candidates

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        return _create("strategies.random:RandomSearch", self)

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search backpropagates; none for a single cell, which is not trained."""
        is_trained = self.candidates > 1
        return super().training_images(epochs, weight_images, alpha_images) if is_trained else 0

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient; none for a single cell, which is not trained."""
        is_trained = self.candidates > 1
        return super().forward_images(epochs, weight_images, alpha_images) if is_trained else 0

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that validate after one epoch; none for a single cell, which is not trained."""
        return super().validation_images(alpha_images, batch_size) if self.candidates > 1 else 0


class SharedStreamRandomOptions(RandomOptions):
    """The baseline as version 0.1 drew it: its cell is the first candidate of a search with the same seed."""

    has_own_stream: ClassVar[bool] = False


class RandomWsOptions(SampledCellOptions):
    """Random search with weight sharing (Li and Talwalkar, UAI 2019)."""

    candidates: int = Field(1000, ge=1, description="number of random cells that are screened in the end")
    batches: int = Field(10, ge=1, description="number of validation batches that screen a cell")
    finalists: int = Field(
        10, ge=1, description="number of best screened cells that are scored on the whole validation split"
    )

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        return _create("strategies.random_ws:RandomWs", self)

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient: monitored cells, screening and finalists."""
        screened = self.candidates * min(self.batches * batch_size, alpha_images)
        finalists = min(self.finalists, self.candidates) * alpha_images
        monitored = super().forward_images(epochs, weight_images, alpha_images, batch_size)
        return monitored + screened + finalists


class EnasOptions(SampledCellOptions):
    """Controller and shared weights (Pham et al., ICML 2018)."""

    renamed: ClassVar[Mapping[str, str]] = {"controller_learning_rate": "controller_lr"}

    controller_lr: float = Field(3.5e-3, gt=0, description="learning rate of the controller's Adam")
    controller_steps: int = Field(30, ge=1, description="number of controller steps after every epoch")
    aggregate: int = Field(10, ge=1, description="number of cells that one controller step samples")
    hidden: int = Field(64, ge=1, description="number of hidden units of the LSTM")
    baseline_decay: float = Field(
        0.99, ge=0, lt=1, description="decay of the reward's moving average, the baseline of REINFORCE"
    )
    entropy_weight: float = Field(1e-4, ge=0, description="weight of the sampling entropy in the reward")
    tanh_constant: float = Field(1.10, gt=0, description="largest absolute logit of an input")
    op_tanh_reduction: float = Field(
        2.5, gt=0, description="factor by which the largest logit of an operation is smaller"
    )
    temperature: float = Field(1.0, gt=0, description="temperature of all logits; some ports use 5.0")
    candidates: int = Field(
        10, ge=1, description="number of cells sampled in the end and scored on the validation split"
    )

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        return _create("strategies.enas:Enas", self)

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient: monitored cells, a batch per reward, final candidates."""
        rewards = _in_batches(self.controller_steps * self.aggregate, batch_size, alpha_images)
        monitored = super().forward_images(epochs, weight_images, alpha_images, batch_size)
        return monitored + epochs * rewards + self.candidates * alpha_images


class TrainedOrSharedOptions(CandidateOptions):
    """Base of the options of strategies that train candidates, or score them under shared weights."""

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that validate after one epoch: all candidates, or the monitored cells."""
        if not self.shares_weights:
            return super().validation_images(alpha_images, batch_size)
        return monitored_images(1, batch_size, alpha_images)

    def speed_probe(self) -> Options:
        """A search with the same training and few candidates."""
        few = RandomWsOptions(candidates=1, batches=1, finalists=1)
        return few if self.shares_weights else RandomOptions(candidates=2)


class EvolutionOptions(TrainedOrSharedOptions):
    """Regularized evolution (Real et al., AAAI 2019) and NSGA-Net (Lu et al., GECCO 2019)."""

    selection: Literal["regularized", "nsga2"] = Field(
        "regularized", description="regularized: for accuracy; nsga2: for accuracy and mult_adds"
    )
    evaluate: Literal["scratch", "supernet"] = Field(
        "scratch", description="scratch: each candidate is trained; supernet: scored under shared weights"
    )
    population: int | None = Field(
        None, ge=2, description="size of the population; None: 100 for regularized, 40 for nsga2"
    )
    tournament: int = Field(
        25, ge=1, description="regularized: number of candidates that compete to be the parent"
    )
    candidates: int = Field(1000, ge=1, description="regularized: number of candidates in all")
    ahead: int = Field(
        0,
        ge=0,
        description="regularized: number of candidates proposed before the oldest is known; 0: one per trial "
        "at a time",
    )
    offspring: int = Field(20, ge=1, description="nsga2: number of children per generation")
    generations: int = Field(30, ge=0, description="nsga2: number of generations after the first population")
    choose: Literal["lowest_error", "knee"] = Field(
        "lowest_error", description="nsga2: member of the Pareto front that is exported"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        other = {
            "regularized": ("offspring", "generations", "choose"),
            "nsga2": ("tournament", "candidates", "ahead"),
        }[self.selection]
        for name in other:
            if name in self.changed():
                raise UserError(f"{name} is not supported with selection={self.selection}")
        if self.selection == "regularized" and self.tournament > self.population_size:
            raise UserError(
                f"tournament={self.tournament} is larger than the population of {self.population_size}"
            )
        return self

    @property
    def population_size(self) -> int:
        """Number of candidates that are alive at a time."""
        return self.population or (100 if self.selection == "regularized" else 40)

    @property
    def total(self) -> int:
        """Number of candidates in all."""
        if self.selection == "regularized":
            return self.candidates
        return self.population_size + self.generations * self.offspring

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        name = "SupernetEvolution" if self.shares_weights else "Evolution"
        return _create(f"strategies.evolution:{name}", self)

    @property
    def shares_weights(self) -> bool:
        """Whether candidates are scored under shared weights."""
        return self.evaluate == "supernet"

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search backpropagates: of the supernet, or of all candidates."""
        return (1 if self.shares_weights else self.total) * epochs * weight_images

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient: validation, or monitored cells and candidates."""
        if not self.shares_weights:
            return super().forward_images(epochs, weight_images, alpha_images)
        return monitored_images(epochs, batch_size, alpha_images) + self.total * alpha_images


class LocalSearchOptions(CandidateOptions):
    """Hill climbing with restarts (White, Nolen, Savani, UAI 2021).

    Values: github.com/naszilla/naszilla, naszilla/nas_algorithms.py, lines 18 to 20 and 295 to 303.
    """

    candidates: int = Field(150, ge=1, description="number of candidates in all")
    init: int = Field(
        10, ge=1, description="number of random cells of which the best is where a climb starts"
    )
    move: Literal["first", "best"] = Field(
        "first", description="first: to the first better neighbour; best: to the best of all neighbours"
    )
    ahead: int = Field(
        0,
        ge=0,
        description="first: number of neighbours trained before the search may move; 0: one per trial at a "
        "time",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.move == "best" and self.ahead:
            raise UserError("ahead is not supported with move=best, which trains all neighbours at a time")
        return self

    @property
    def total(self) -> int:
        """Number of candidates in all."""
        return self.candidates

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        return _create("strategies.local_search:LocalSearch", self)
