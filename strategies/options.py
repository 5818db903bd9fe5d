"""What every strategy's options have in common: frozen, typed, checked when they are made, light to import.

An options class also answers what a study has to know before anything runs (how many images a search takes),
so that a new strategy needs no change anywhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from search_spaces import Space
from search_spaces.numbers import require_computable
from strategies.budget import Cost

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


class Options(BaseModel, ABC):
    """Base of a strategy's options.

    A subclass declares its options as fields and makes the strategy in `create`. The numbers of images below
    are those of a strategy that trains shared weights and validates them once per epoch; a strategy that does
    anything else overrides them.

    Attributes:
        renamed: options of version 0.1 with what they are called now.
        search: options of the search that belong to a published method, such as `batch_size`: the search's
            defaults with this strategy.
        metric: name of what the strategy maximises, in metrics and summaries.
        named_by: options that name a use of the strategy even at their defaults; reports show them first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    renamed: ClassVar[Mapping[str, str]] = {}
    search: ClassVar[Mapping[str, Any]] = {}
    metric: ClassVar[str] = "top1"
    named_by: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _numbers_are_computable(self) -> Self:
        require_computable((name, getattr(self, name)) for name in self.model_fields_set)
        return self

    @abstractmethod
    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults: they tell two uses of one strategy apart."""
        return self.model_dump(exclude_defaults=True)

    def check_search(self, epochs: int, width: int, layers: int) -> None:
        """Refuse a search that the options do not fit; most fit any.

        Args:
            epochs: number of epochs.
            width: channels of the first cell's nodes.
            layers: number of cells.

        Raises:
            UserError: says which option does not fit.
        """

    def check_space(self, space: Space) -> None:
        """Refuse a search space that the options do not fit; most fit any.

        Raises:
            UserError: says which option does not fit.
        """

    @property
    def shares_weights(self) -> bool:
        """Whether the strategy searches on a supernet, rather than by training candidates one by one."""
        return True

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search without a budget backpropagates, over all processes.

        Args:
            epochs: epochs of the search: over the weight split, or of each candidate.
            weight_images: images of the weight split.
            alpha_images: images of the alpha split.
            batch_size: images per batch, over all processes; it matters only where the splits differ in size
                and a strategy trains on both.
        """
        return epochs * weight_images

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search passes through networks without a gradient, over all processes.

        Args:
            epochs: epochs of the search: over the weight split, or of each candidate.
            weight_images: images of the weight split.
            alpha_images: images of the alpha split, which also validates.
            batch_size: images per batch, over all processes.
        """
        return epochs * alpha_images

    def total_epochs(self, epochs: int) -> int:
        """Epochs of a search of `epochs`, with those that its choice of a genotype takes besides."""
        return epochs

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that validate after one epoch, those of all candidates together.

        Args:
            alpha_images: images of the alpha split.
            batch_size: images per batch, over all processes.
        """
        return alpha_images

    def skipped_images(self, epochs: int, alpha_images: int, batch_size: int, val_interval: int) -> int:
        """Number of images that `forward_images` counts and that `val_interval` leaves out.

        Args:
            epochs: epochs of the search: over the weight split, or of each candidate.
            alpha_images: images of the alpha split.
            batch_size: images per batch, over all processes.
            val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        """
        total = self.total_epochs(epochs)
        return (total - -(-total // val_interval)) * self.validation_images(alpha_images, batch_size)

    def cost(
        self,
        epochs: int,
        weight_images: int,
        alpha_images: int,
        batch_size: int = 1,
        val_interval: int = 1,
    ) -> Cost:
        """Images of a search without a budget, over all processes; arguments as above."""
        sizes = (epochs, weight_images, alpha_images, batch_size)
        skipped = self.skipped_images(epochs, alpha_images, batch_size, val_interval)
        return Cost(self.training_images(*sizes), self.forward_images(*sizes) - skipped)

    def speed_probe(self) -> Options:
        """Options of a search that trains as many images per second, and does little else."""
        return self


class CandidateOptions(Options):
    """Base of the options of strategies that train candidates from scratch, one by one."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Number of candidates of a search without a budget."""

    @property
    def shares_weights(self) -> bool:
        """Whether the strategy searches on a supernet, rather than by training candidates one by one."""
        return False

    def candidate_cost(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> Cost:
        """Images of one candidate, which trains on the weight split and is validated after each epoch.

        Args:
            epochs: epochs of a candidate.
            weight_images: images of the weight split.
            alpha_images: images of the alpha split.
            batch_size: images per batch.
        """
        return Cost(epochs * weight_images, epochs * alpha_images)

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search backpropagates, for all candidates."""
        return self.total * self.candidate_cost(epochs, weight_images, alpha_images, batch_size).images

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that validate all candidates after one epoch of each."""
        return self.total * alpha_images

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that pass without a gradient, for all candidates."""
        each = self.candidate_cost(epochs, weight_images, alpha_images, batch_size)
        return self.total * each.forward_images
