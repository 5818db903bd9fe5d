"""Options of the study commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.hub import PushOptions
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines import ENGINES, EngineSettings
from nastransfer_nni.study.slurm_options import SlurmOptions
from nastransfer_nni.study.slurm_queue import require_slurm
from nastransfer_nni.tracking.run import runs_folder
from search_spaces.errors import UserError, unknown

DEVIATION = 0.23
"""Standard deviation of top-1 between runs on CIFAR-10, in points."""


class StudyConfig(Config):
    """Options of every study command."""

    file: str = Field(description="study file (YAML); experiments/study_digits.yml is one to start from")
    out: str | None = Field(None, description="folder of the study; None: runs/NAME, with the study's name")

    def folder(self, study: Study) -> Path:
        """Folder of the study."""
        return expanded(self.out) if self.out is not None else runs_folder() / study.name


class PlanConfig(StudyConfig):
    """Options of `study plan`."""

    images_per_second: float | None = Field(
        None, gt=0, description="assumed training speed in images/s, such as a GPU's; None: measured here"
    )
    pilot: str | None = Field(
        None, description="folder of runs or results table that the standard deviations are taken from"
    )
    deviation: float | None = Field(
        None,
        gt=0,
        description="assumed standard deviation of top1 between networks of one strategy, in points; None: "
        f"the pilot's, else {DEVIATION}, which was seen on CIFAR-10",
    )
    random_deviation: float | None = Field(
        None,
        gt=0,
        description="standard deviation between random networks; None: the pilot's, else as between others",
    )
    draw_deviation: float | None = Field(
        None, ge=0, description="standard deviation between draws of a proxy; None: the pilot's, else 0"
    )
    collapse_rate: float = Field(0.0, ge=0, lt=1, description="assumed share of searches that collapse")
    collapse_depth: float = Field(
        1.5, gt=0, description="points by which the network of a collapsed search is worse"
    )
    effect: float | None = Field(
        None,
        gt=0,
        description="true difference to random cells, in points, whose power is shown; None: one standard "
        "deviation of random networks",
    )
    jobs: bool = Field(False, description="list every job")


class PilotConfig(StudyConfig):
    """Options of `study pilot`."""

    out: str | None = Field(None, description="folder of the pilot; None: runs/NAME-pilot")
    settings: str = Field(
        "",
        description="trainings to compare, parted by semicolons, each by what it changes in the study's "
        "transfer options or target, as in 'epochs=5; width=8,img_size=32; target=fashion_mnist'; an empty "
        "one changes nothing",
    )
    cells: int = Field(16, ge=2, description="number of random cells; none of them is in the study")
    first_cell: int = Field(0, ge=0, description="number of the first cell: others measure a choice again")
    trainings: int = Field(2, ge=2, description="trainings of every cell in every setting")
    concurrency: int = Field(1, ge=1, description="number of jobs at a time")

    def folder(self, study: Study) -> Path:
        """Folder of the pilot."""
        return expanded(self.out) if self.out is not None else runs_folder() / f"{study.name}-pilot"


def _engine(name: str) -> str:
    if name not in ENGINES:
        raise unknown("engine", name, list(ENGINES))
    return name


class EngineConfig(StudyConfig):
    """Options of `study run` without those of Slurm."""

    concurrency: int = Field(
        1,
        ge=1,
        description="number of jobs, trials or tasks at a time; this machine's cores are shared among them",
    )
    from_table: str | None = Field(
        None,
        description="results table of this study, from a report or `study table`; transfers whose rows are "
        "in it are done",
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


class RunConfig(SlurmOptions, EngineConfig):
    """Options of `study run`."""

    renamed: ClassVar[Mapping[str, str]] = {"workers": "concurrency"}

    @model_validator(mode="after")
    def _engine_reads_its_options(self) -> Self:
        of_engines = {name for engine in ENGINES.values() for name in engine.options}
        for name in (name for name in type(self).model_fields if name in of_engines):
            if name in self.model_fields_set and name not in ENGINES[self.engine].options:
                flag = "--" + name.replace("_", "-")
                readers = [other for other, engine in ENGINES.items() if name in engine.options]
                raise UserError(f"{flag} needs --engine {' or '.join(readers)}")
        if self.engine == "slurm":
            require_slurm()
        return self

    @property
    def settings(self) -> EngineSettings:
        """The options that an engine reads."""
        return EngineSettings(
            concurrency=self.concurrency,
            training_service=self.training_service,
            port=self.port,
            slurm=SlurmOptions(**{name: getattr(self, name) for name in SlurmOptions.model_fields}),
        )


class StatusConfig(StudyConfig):
    """Options of `study status`."""

    html: bool = Field(
        False,
        description="write the page status.html into the study's folder, and keep it up to date until the "
        "study is completed or Ctrl-C",
    )
    every: int = Field(
        10,
        ge=0,
        le=86_400,
        description="seconds between two looks at the study's folder with --html; 0: write the page once",
    )

    @model_validator(mode="after")
    def _only_the_page_is_kept_up_to_date(self) -> Self:
        if "every" in self.model_fields_set and not self.html:
            raise UserError("--every needs --html")
        return self


class TableConfig(PushOptions, StudyConfig):
    """Options of `study table`."""

    to: str = Field("results.csv", description="CSV file to write: one row for every completed transfer")


class ChainConfig(StudyConfig):
    """Options of `study chain`."""

    search: str = Field("", description="name of the search, as `study plan --jobs` lists it")
    logs: bool = Field(False, description="write each job's output to its log in the study's folder")
