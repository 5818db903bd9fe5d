"""Options of a ranking by cheap evaluations."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from nastransfer_nni.base.paths import expanded
from nastransfer_nni.rank import evaluations
from nastransfer_nni.rank.evaluations import Evaluation
from nastransfer_nni.score.config import EvaluationConfig
from nastransfer_nni.search.config import SearchConfig
from search_spaces.errors import UserError

NON_IDENTIFYING_OPTIONS = (
    "by",
    "columns",
    "target",
    "noise",
    "top",
    "replicates",
    "confidence",
    "max_trained",
)
"""Options that may change when a ranking is resumed: what is already evaluated is kept."""


class RankConfig(EvaluationConfig):
    """Options of a ranking by cheap evaluations."""

    cells: str = Field(
        description="cells of known accuracy: a folder of finished transfers, or a CSV or JSON file with the "
        "columns genotype and top1, as docs/rank.md says"
    )
    by: str = Field(
        "scores+supernet:10+train:1+train:5",
        description="evaluations, joined by +: scores (all of them) or the names of some, such as nwot; "
        "supernet:N, weights that all cells share, trained for N epochs; train:N, N epochs of each cell",
    )
    columns: str = Field(
        "",
        description="columns of a file by what they mean, such as genotype=arch,top1=test_acc; others are "
        "found by their names",
    )
    target: str = Field("", description="target of the accuracies, where the cells have several")
    noise: float | None = Field(
        None,
        gt=0,
        description="standard deviation of top1 between trainings of one cell, in points; None: from cells "
        "that are listed several times",
    )
    top: int = Field(10, ge=1, description="size of the best group of cells that an evaluation should find")
    max_trained: int | None = Field(
        None, ge=5, description="number of cells that train:N trains, drawn at random; None: all"
    )
    width: int = Field(8, ge=1, description="channels of a node in the first cell")
    layers: int = Field(5, ge=3, description="number of cells of a network")
    replicates: int = Field(2000, ge=200, le=100_000, description="bootstrap samples of the intervals")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="coverage of the intervals")
    out: str | None = Field(
        None, description="folder of the results; None: runs/rank-..., named by the options"
    )
    overwrite: bool = Field(False, description="start anew where the folder holds another ranking")

    @field_validator("cells")
    @classmethod
    def _cells_exist(cls, name: str) -> str:
        if not expanded(name).exists():
            raise UserError("there is no such file or folder")
        return name

    @field_validator("by")
    @classmethod
    def _evaluations_are_known(cls, by: str) -> str:
        evaluations.parse(by)
        return by

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for evaluation in self.evaluations:
            self.search_of(evaluation)
        return self

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The evaluations, in the order in which they were named."""
        return evaluations.parse(self.by)

    def search_of(self, evaluation: Evaluation, **options: Any) -> SearchConfig:
        """Options of a search that evaluates its candidates in this way; `options` are added."""
        if evaluation.kind == "score":
            return self.search(f"score:by={evaluation.name},batches={self.batches}", **options)
        strategy = "random_ws" if evaluation.kind == "supernet" else "random"
        return self.search(strategy, epochs=evaluation.epochs, **options)
