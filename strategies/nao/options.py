"""Options of NAO, with the values of the authors' code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from search_spaces.errors import UserError
from strategies.builtin import TrainedOrSharedOptions, monitored_images

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


class NaoOptions(TrainedOrSharedOptions):
    """Neural architecture optimization (Luo et al., NeurIPS 2018), with shared weights or without.

    Values: github.com/renqianluo/NAO_pytorch, NAO_V1/train_search.py, lines 34 to 76 and 772 to 774; a batch
    of 500 images scores a cell there.
    """

    search: ClassVar = {
        "epochs": 150,
        "width": 20,
        "layers": 11,
        "weights_share": 0.9,
        "alphas_share": 0.1,
    }
    """Lines 31 to 48 and 655; 11 cells are three times three normal ones and two reductions."""

    evaluate: Literal["supernet", "scratch"] = Field(
        "supernet", description="supernet: cells are scored under shared weights; scratch: each is trained"
    )
    pool: int = Field(600, ge=2, description="number of random cells of the first round")
    new: int = Field(300, ge=1, description="number of new cells per round; they replace the worst of a pool")
    every: int = Field(30, ge=1, description="supernet: number of epochs before each round")
    rounds: int = Field(2, ge=0, description="scratch: number of rounds of new cells")
    top: int = Field(100, ge=1, description="number of best cells from which new ones are found")
    max_step: int = Field(
        50,
        ge=1,
        description="largest step along the gradient; steps of 1, 2, ... find cells until there are enough",
    )
    batches: int = Field(8, ge=1, description="supernet: number of validation batches that score a cell")
    finalists: int = Field(
        5, ge=1, description="supernet: number of best cells in the end, scored on the whole validation split"
    )
    hidden: int = Field(96, ge=2, multiple_of=2, description="number of hidden units of both LSTMs")
    predictor_layers: int = Field(3, ge=0, description="number of hidden layers of the predictor")
    predictor_hidden: int = Field(200, ge=1, description="number of units of each of them")
    predictor_dropout: float = Field(0.1, ge=0, lt=1, description="dropout after each of them")
    predictor_weight: float = Field(
        0.8, ge=0, le=1, description="weight of the predictor's loss; the decoder's has the rest"
    )
    controller_epochs: int = Field(1000, ge=1, description="passes over the scored cells in each round")
    controller_batch_size: int = Field(100, ge=1, description="number of cells per batch")
    controller_lr: float = Field(1e-3, gt=0, description="learning rate of the controller's Adam")
    controller_weight_decay: float = Field(1e-4, ge=0, description="weight decay of the controller's Adam")
    controller_clip_grad: float = Field(5.0, gt=0, description="largest norm of the controller's gradient")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        other = {"supernet": ("rounds",), "scratch": ("every", "batches", "finalists")}[self.evaluate]
        for name in other:
            if name in self.changed():
                raise UserError(f"{name} is not supported with evaluate={self.evaluate}")
        if self.shares_weights and self.new >= self.pool:
            raise UserError(f"new={self.new} would replace the whole pool of {self.pool}")
        return self

    def check_search(self, epochs: int, width: int, layers: int) -> None:
        """Refuse a search that ends before its first round; arguments as in `Options`."""
        if self.shares_weights and epochs <= self.every:
            raise UserError(
                f"nao needs more than every={self.every} epochs, so that it has a round, not {epochs}; "
                "give a smaller every"
            )

    @property
    def shares_weights(self) -> bool:
        """Whether cells are scored under shared weights."""
        return self.evaluate == "supernet"

    @property
    def total(self) -> int:
        """Number of candidates that are trained, without shared weights."""
        return self.pool + self.rounds * self.new

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        name = "SupernetNao" if self.shares_weights else "Nao"
        strategy: Strategy = getattr(importlib.import_module("strategies.nao.search"), name)(self)
        return strategy

    def training_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images that a search backpropagates: of the supernet, or of all candidates."""
        if self.shares_weights:
            return epochs * weight_images
        return super().training_images(epochs, weight_images, alpha_images, batch_size)

    def forward_images(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> int:
        """Number of images without a gradient: validation, or monitored cells, pools and finalists."""
        if not self.shares_weights:
            return super().forward_images(epochs, weight_images, alpha_images, batch_size)
        monitored = monitored_images(epochs, batch_size, alpha_images)
        pools = 1 + (epochs - 1) // self.every
        scored = pools * self.pool * min(self.batches * batch_size, alpha_images)
        return monitored + scored + min(self.finalists, self.pool) * alpha_images
