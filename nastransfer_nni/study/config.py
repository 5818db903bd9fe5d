"""Options of the study commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from nastransfer_nni.base.config import Config
from nastransfer_nni.study.design import Study


class StudyConfig(Config):
    """What every study command takes."""

    file: str = Field(description="study file (YAML); experiments/study_digits.yml is one to start from")
    out: str | None = Field(None, description="the study's folder; None: runs/<its name>")

    @property
    def root(self) -> Path:
        """The study's folder."""
        if self.out is not None:
            return Path(self.out)
        return Path(os.environ.get("NASTRANSFER_RUNS", "runs")) / Study.read(self.file).name


class PlanConfig(StudyConfig):
    """Options of `study plan`."""

    images_per_second: float | None = Field(
        None, gt=0, description="speed to reckon with, such as a GPU's; None: measure this machine"
    )
    deviation: float = Field(
        0.23, gt=0, description="standard deviation of top1 between runs, for the power; 0.23: CIFAR-10's"
    )
    jobs: bool = Field(False, description="list every job")


class RunConfig(StudyConfig):
    """Options of `study run`."""

    workers: int = Field(1, ge=1, description="jobs at a time; processor cores are shared among them")
    engine: Literal["local", "nni"] = Field("local", description="processes of this machine, or NNI trials")
    training_service: str | None = Field(
        None, description="YAML file with NNI's trainingService; None: NNI's local one"
    )
    port: int = Field(8080, ge=1, le=65535, description="of NNI's web UI")


class ChainConfig(StudyConfig):
    """Options of `study chain`."""

    search: str = Field("", description="name of the search, as `study plan --jobs` lists it")
