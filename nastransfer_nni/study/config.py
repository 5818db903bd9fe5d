"""Options of the study commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines import ENGINES, EngineSettings
from nastransfer_nni.tracking.run import runs_folder
from search_spaces.errors import UserError, unknown


class StudyConfig(Config):
    """Options of every study command."""

    file: str = Field(description="study file (YAML); experiments/study_digits.yml is one to start from")
    out: str | None = Field(None, description="folder of the study; None: runs/NAME, with the study's name")

    def folder(self, study: Study) -> Path:
        """Folder of the study."""
        return Path(self.out) if self.out is not None else runs_folder() / study.name


class PlanConfig(StudyConfig):
    """Options of `study plan`."""

    images_per_second: float | None = Field(
        None, gt=0, description="assumed training speed in images/s, such as a GPU's; None: measured here"
    )
    deviation: float = Field(
        0.23,
        gt=0,
        description="assumed standard deviation of top1 between runs, in points, for the power analysis; "
        "0.23 was seen on CIFAR-10",
    )
    jobs: bool = Field(False, description="list every job")


def _engine(name: str) -> str:
    if name not in ENGINES:
        raise unknown("engine", name, list(ENGINES))
    return name


class RunConfig(StudyConfig):
    """Options of `study run`."""

    renamed: ClassVar[Mapping[str, str]] = {"workers": "concurrency"}

    concurrency: int = Field(
        1, ge=1, description="number of jobs at a time; this machine's cores are shared among them"
    )
    engine: Annotated[str, AfterValidator(_engine)] = Field(
        "local",
        description="engine that runs the jobs; "
        + "; ".join(f"{name}: {ENGINES[name].summary}" for name in ENGINES),
    )
    training_service: str | None = Field(
        None, description="YAML file with NNI's section trainingService; None: trials on this machine"
    )
    port: int = Field(8080, ge=1024, le=65534, description="port of NNI's web UI")

    @model_validator(mode="after")
    def _engine_reads_its_options(self) -> Self:
        for name in ("training_service", "port"):
            if name in self.model_fields_set and name not in ENGINES[self.engine].options:
                flag = "--" + name.replace("_", "-")
                readers = [other for other, engine in ENGINES.items() if name in engine.options]
                raise UserError(f"{flag} needs --engine {' or '.join(readers)}")
        return self

    @property
    def settings(self) -> EngineSettings:
        """The options that an engine reads."""
        return EngineSettings(
            concurrency=self.concurrency, training_service=self.training_service, port=self.port
        )


class ChainConfig(StudyConfig):
    """Options of `study chain`."""

    search: str = Field("", description="name of the search, as `study plan --jobs` lists it")
