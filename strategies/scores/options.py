"""Options of the search by scores of untrained networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from search_spaces.errors import UserError
from strategies.budget import Cost
from strategies.options import CandidateOptions, Options
from strategies.scores.base import Score, Sees, find

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


class ScoreOptions(CandidateOptions):
    """Search without training: the best of many cells by scores of their untrained networks."""

    metric: ClassVar[str] = "score"
    named_by: ClassVar[tuple[str, ...]] = ("by",)

    by: str = Field(
        "nwot", description="score, or several whose ranks are combined (AZ-NAS), as in nwot+synflow"
    )
    candidates: int = Field(1000, ge=1, description="number of cells that are scored")
    batches: int = Field(2, ge=1, description="number of batches that each cell is scored on")
    selection: Literal["random", "evolution"] = Field(
        "random", description="random: uniform draws; evolution: regularized evolution for the score"
    )
    population: int = Field(100, ge=2, description="evolution: size of the population")
    tournament: int = Field(25, ge=1, description="evolution: number of cells that compete to be the parent")

    @field_validator("by")
    @classmethod
    def _scores_are_known(cls, by: str) -> str:
        names = [score.name for score in find(by)]
        if len(set(names)) < len(names):
            raise UserError(f"by={by} names a score twice")
        return by

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.selection == "random":
            for name in ("population", "tournament"):
                if name in self.changed():
                    raise UserError(f"{name} is not supported with selection=random")
        elif self.tournament > self.population:
            raise UserError(f"tournament={self.tournament} is larger than population={self.population}")
        return self

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores by which cells are chosen."""
        return find(self.by)

    @property
    def total(self) -> int:
        """Number of cells that are scored."""
        return self.candidates

    def create(self) -> Strategy:
        """Make the NNI strategy with these options."""
        return importlib.import_module("strategies.scores.search").ScoreSearch(self)  # type: ignore[no-any-return]

    def candidate_cost(self, epochs: int, weight_images: int, alpha_images: int, batch_size: int = 1) -> Cost:
        """Images of one candidate: those of scores that need gradients, and of others that see images."""
        images = min(self.batches * batch_size, weight_images)
        trained = sum(score.backpropagates for score in self.scores)
        passed = sum(score.sees is not Sees.NOTHING and not score.backpropagates for score in self.scores)
        return Cost(trained * images, passed * images)

    def validation_images(self, alpha_images: int, batch_size: int = 1) -> int:
        """No images: cells are not trained, hence not validated."""
        return 0

    def speed_probe(self) -> Options:
        """The same scores of a few cells."""
        return ScoreOptions(by=self.by, candidates=2, batches=self.batches)
