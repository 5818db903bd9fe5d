"""What kinds share that select by the outputs of a network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from nastransfer_nni.base.paths import located
from nastransfer_nni.proxy.scorers import DYNAMICS, ScoreSource
from nastransfer_nni.proxy.step import Step
from search_spaces.errors import UserError, unknown


class Scored(Step):
    """A step that selects by scores or features of the images, from a network or from a file."""

    scorer: str = Field(
        "network",
        description="network that computes scores and features: network (a ResNet-20 trained on the source), "
        "timm:MODEL or timm:MODEL@WEIGHTS_FILE (pretrained)",
    )
    epochs: int = Field(10, ge=1, description="training epochs of scorer=network")
    scores: str | None = Field(
        None, description="Parquet file with scores or features of every image, used instead of a scorer"
    )

    @field_validator("scorer")
    @classmethod
    def _check_scorer(cls, value: str) -> str:
        kind, _, model = value.partition(":")
        if value != "network" and not (kind == "timm" and model):
            raise unknown("scorer", value, ["network", "timm:MODEL", "timm:MODEL@WEIGHTS_FILE"])
        file = model.partition("@")[2]
        if file and not located(file).is_file():
            raise UserError(f"no file {file!r} with weights")
        return value

    @field_validator("scores")
    @classmethod
    def _check_file(cls, value: str | None) -> str | None:
        if value is not None and not located(value).is_file():
            raise UserError(f"no file {value!r}")
        return value

    @property
    @abstractmethod
    def column(self) -> str:
        """The column of scores that the step uses."""

    @property
    def columns(self) -> frozenset[tuple[ScoreSource, str]]:
        """The step's own column, and what else it needs."""
        return super().columns | {(self.score_source, self.column)}

    @property
    def score_source(self) -> ScoreSource:
        """Where the scores and features come from."""
        return ScoreSource(self.scorer, self.epochs, located(self.scores) if self.scores else None)


class ByHardness(Scored):
    """A step that selects by how hard the images are for networks."""

    by: Literal["loss", "margin", "entropy", "el2n", "forgetting"] = Field(
        "loss",
        description="measure of hardness: cross-entropy loss, the log-probability of the best wrong class "
        "minus that of the label (margin), or predictive entropy, all in nats; the mean error norm of ten "
        "networks (el2n); or how often a network forgets the image while it trains (forgetting)",
    )

    @property
    def column(self) -> str:
        """The measure of hardness."""
        return self.by

    @model_validator(mode="after")
    def _check_by(self) -> Self:
        if self.by in DYNAMICS and self.scorer != "network" and self.scores is None:
            raise UserError(f"by={self.by} watches networks that are trained: it needs scorer=network")
        return self
