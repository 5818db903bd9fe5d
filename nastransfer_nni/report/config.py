"""Options of a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from nastransfer_nni.base.config import Config
from search_spaces.errors import UserError


class ReportConfig(Config):
    """Options of a report."""

    renamed: ClassVar[Mapping[str, str]] = {"samples": "replicates"}

    input: str = Field(description="folder of runs, or CSV file with a results table")
    out: str = Field("report", description="folder for the page and its tables and figures")
    margin: float = Field(
        0.5,
        gt=0,
        lt=100,
        description="largest relative improvement over random cells, in percent, that counts as equivalent",
    )
    replicates: int = Field(10_000, ge=1000, le=1_000_000, description="number of bootstrap replicates")
    seed: int = Field(0, ge=0, description="random seed of the bootstrap")
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="coverage of the intervals; the significance level of the tests is one minus this",
    )

    @field_validator("input")
    @classmethod
    def _input_exists(cls, name: str) -> str:
        if not Path(name).expanduser().exists():
            raise UserError("no such file or folder")
        return name

    @field_validator("out")
    @classmethod
    def _out_is_a_folder(cls, name: str) -> str:
        if Path(name).expanduser().is_file():
            raise UserError("is a file; name a folder")
        return name
