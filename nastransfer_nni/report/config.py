"""Options of a report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from nastransfer_nni.base.config import Config


class ReportConfig(Config):
    """Options of a report."""

    input: str = Field(description="a folder of runs, or a CSV file with a results table")
    out: str = Field("report", description="folder for the page, its tables and figures")
    margin: float = Field(
        0.5, gt=0, description="relative improvements below this, in percent, are equivalent"
    )
    samples: int = Field(10_000, ge=1000, description="bootstrap samples")
    seed: int = Field(0, ge=0, description="of the bootstrap")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="of the intervals; tests are at one minus this")

    @field_validator("input")
    @classmethod
    def _input_exists(cls, name: str) -> str:
        if not Path(name).expanduser().exists():
            raise ValueError("no such file or folder")
        return name

    @field_validator("out")
    @classmethod
    def _out_is_a_folder(cls, name: str) -> str:
        if Path(name).expanduser().is_file():
            raise ValueError("is a file; name a folder")
        return name
