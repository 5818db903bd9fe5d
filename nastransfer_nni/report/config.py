"""Options of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.paths import expanded
from search_spaces.errors import UserError


class ReportConfig(Config):
    """Options of a report."""

    renamed: ClassVar[Mapping[str, str]] = {"samples": "replicates"}

    input: str = Field(description="folder of runs, or CSV file with a results table")
    out: str = Field("report", description="folder for the page and its tables and figures")
    dry_run: bool = Field(False, description="only say how the input is understood")
    baseline: str = Field(
        "",
        description="strategy that the others are compared with, or none to compare all pairs (default: "
        "random cells, or all pairs without any)",
    )
    columns: str = Field(
        "",
        description="columns of a CSV file by what they mean, such as strategy=algo,top1=test_acc; others "
        "are found by their names",
    )
    metric: str = Field("", description="metric to report, where each row of a CSV file names one")
    target: str = Field("", description="target of a CSV file without a column for it")
    unit: Literal["found", "percent", "fraction"] = Field(
        "found", description="unit of the accuracies in a CSV file; found: as the numbers say"
    )
    margin: str = Field(
        "",
        description="largest difference from random cells that counts as equivalent: in percent of their "
        "mean, "
        "such as 0.5%, or in their standard deviations, such as 0.5sd (default: the study's, else 0.5sd)",
    )
    replicates: int = Field(
        10_000, ge=1000, le=1_000_000, description="simulated replicates of rankings, and permutations"
    )
    seed: int = Field(0, ge=0, description="random seed of the replicates")
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="coverage of the intervals; the significance level of the tests is one minus this",
    )

    @field_validator("input")
    @classmethod
    def _input_exists(cls, name: str) -> str:
        if not expanded(name).exists():
            raise UserError("no such file or folder")
        return name

    @field_validator("out")
    @classmethod
    def _out_is_a_folder(cls, name: str) -> str:
        if expanded(name).is_file():
            raise UserError("is a file; name a folder")
        return name

    @field_validator("columns")
    @classmethod
    def _columns_are_pairs(cls, text: str) -> str:
        if not all(0 < part.find("=") < len(part) - 1 for part in text.split(",") if text):
            raise UserError("write pairs such as strategy=algo,top1=test_acc")
        return text

    @field_validator("margin")
    @classmethod
    def _margin_is_a_number_with_a_unit(cls, text: str) -> str:
        number = text.removesuffix("sd").removesuffix("%").strip()
        if text and not (number.replace(".", "", 1).isdecimal() and 0 < float(number) < 100):
            raise UserError("write it as 0.5% or 0.5sd, above 0 and below 100")
        return text
