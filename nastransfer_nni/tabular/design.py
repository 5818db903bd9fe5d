"""The file of a tabular study: what the columns of its table mean, and which strategies choose from it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, field_validator, model_validator

import strategies
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.base.paths import located, names_from
from nastransfer_nni.base.reading import read_yaml
from nastransfer_nni.tabular.spaces import SPACES
from search_spaces.errors import UserError, unknown
from strategies import StrategySpec
from strategies.builtin import RandomOptions
from strategies.options import CandidateOptions

Unit = Literal["percent", "fraction", "error"]
StrategyOption = Annotated[InstanceOf[StrategySpec], FromText(strategies.parse)]


def _listed(value: Any) -> Any:
    """A list of names, where one is given by itself."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Measure(Config):
    """A measurement of every network: a column of the table, or several that repeat one measurement."""

    columns: Names = Field(min_length=1, description="column, or columns with repeated measurements")
    tested: Names = Field(
        (), description="columns with the accuracy on the source, where `columns` are what a search sees"
    )
    score: bool = Field(False, description="a number that is no accuracy, such as a size; larger is better")
    scale: float = Field(
        1.0, gt=0, description="factor of the values, such as 1000000 for a size in millions"
    )
    noise: float | None = Field(
        None, gt=0, description="standard deviation between trainings of one network, in points, if known"
    )

    def shares_columns(self, other: Measure) -> bool:
        """Whether the other is a measurement of the same trainings."""
        return not {*self.columns, *self.tested}.isdisjoint(other.columns)


def _measure(value: Any) -> Any:
    return {"columns": value} if isinstance(value, str | list | tuple) else value


Measures = dict[str, Annotated[Measure, BeforeValidator(_measure)]]


class TableStudy(Config):
    """A study whose trainings are looked up in a table.

    Strategies choose by a proxy, which is a cheap measurement, and are judged by a target, a dear one. Where
    the table has the cells of a space that strategies can search, they search it. Where it has some networks
    only, `random:candidates=K` takes the best of K of them by the proxy: networks that no other search and no
    random pick has used, so that all of them are independent.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the study's folder")
    table: str = Field(
        description="CSV, Parquet, JSON or YAML file with the table, in the folder of the study file, the "
        "working directory or $NASTRANSFER_DATA"
    )
    levels: tuple[Names, ...] = Field(
        (), description="JSON or YAML: names of the nested keys; a list of names parts a key at each _"
    )
    across: Names = Field(
        (),
        description="columns whose values become columns of their own, joined by _, for a table with one "
        "measurement per row",
    )
    value: str = Field("value", description="column of the measurements, with `across`")
    where: dict[str, Any] = Field(
        default_factory=dict, description="rows that are used: the value, or the values, of a column"
    )
    cells: Names = Field(
        (), description="column, or columns, that name a network; none: the number of its row"
    )
    space: str = Field("", description=f"space of the cells: {', '.join(SPACES)}; none: any networks")
    group: str = Field("", description="column whose equal values mark networks that resemble each other")
    unit: Unit = Field("percent", description="percent, fraction, or error in percent")
    proxies: Measures = Field(min_length=1, description="cheap measurements by which strategies choose")
    targets: Measures = Field(min_length=1, description="dear measurements by which they are judged")
    sizes: Measures = Field(
        default_factory=dict, description="params and mult_adds of a network; known for cells of a space"
    )
    strategies: tuple[StrategyOption, ...] = Field(
        min_length=1, description="strategies with their options; random picks are added by themselves"
    )
    search_seeds: int = Field(
        200, ge=2, le=100_000, description="searches of every strategy by every proxy, or as many as fit"
    )
    random_cells: int = Field(
        200, ge=2, le=100_000, description="networks that are picked at random, the baseline"
    )
    margin: str = Field("0.5sd", description="largest difference that counts as equivalent: 0.5sd, 0.5%, ...")

    @field_validator("space")
    @classmethod
    def _space_is_known(cls, name: str) -> str:
        if name and name not in SPACES:
            raise unknown("space", name, list(SPACES))
        return name

    @field_validator("sizes")
    @classmethod
    def _sizes_are_known(cls, measures: Measures) -> Measures:
        for name in measures:
            if name not in ("params", "mult_adds"):
                raise unknown("size", name, ["params", "mult_adds"])
        return measures

    @field_validator("targets")
    @classmethod
    def _targets_are_accuracies(cls, measures: Measures) -> Measures:
        for name, measure in measures.items():
            if measure.score or measure.tested:
                raise UserError(f"{name}: a target is an accuracy; it has neither score nor tested")
        return measures

    @field_validator("strategies")
    @classmethod
    def _strategies_choose(cls, specs: tuple[StrategySpec, ...]) -> tuple[StrategySpec, ...]:
        for spec in specs:
            options = spec.options
            is_candidates = isinstance(options, CandidateOptions) and options.metric == "top1"
            if not is_candidates or options.shares_weights:
                raise UserError(
                    f"{spec.text} does not train candidates one by one, and a table has no shared weights; "
                    "use random:candidates=K, evolution or another strategy of candidates"
                )
            if isinstance(options, RandomOptions) and options.candidates == 1:
                raise UserError("random picks are part of every study; random_cells sets their number")
        return specs

    @field_validator("margin", mode="before")
    @classmethod
    def _margin_is_one(cls, value: Any) -> str:
        from nastransfer_nni.report.statistics.margin import Margin  # imports pandas, which takes seconds

        return str(Margin.parse(value))

    @model_validator(mode="after")
    def _cells_of_a_space_are_named(self) -> Self:
        if self.space and len(self.cells) != 1:
            raise UserError("cells: the cells of a space are in one column; name it")
        return self

    @property
    def measures(self) -> dict[str, Measure]:
        """All measurements and sizes by what they are, such as `proxies: cifar10`."""
        kinds = {"proxies": self.proxies, "targets": self.targets, "sizes": self.sizes}
        return {f"{kind}: {name}": measure for kind, of in kinds.items() for name, measure in of.items()}

    def path(self, folder: Path) -> Path:
        """The file of the table, for a study file in `folder`.

        Raises:
            UserError: there is none.
        """
        data = os.environ.get("NASTRANSFER_DATA")
        with names_from(folder):
            places = [located(self.table), *([Path(data) / self.table] if data else [])]
        for place in places:
            if place.is_file():
                return place
        hint = "" if data else ", and NASTRANSFER_DATA is not set"
        raise UserError(f"table: no file {self.table}{hint}; docs/tables.md says where to get the tables")


def content(path: str | Path) -> Mapping[str, Any] | None:
    """The content of a study file that names a table; None for any other file, which its reader explains."""
    try:
        value = read_yaml(path, "study file")
    except UserError:
        return None
    return value if isinstance(value, dict) and "table" in value else None


def refuse_options(path: str | Path, options: Collection[str]) -> None:
    """Refuse options of a command that mean nothing to a study that trains nothing.

    Args:
        path: the study file.
        options: names of the options that were given.

    Raises:
        UserError: names the first of them.
    """
    for name in sorted(set(options) - {"file", "out"}):
        flag = "--" + name.replace("_", "-")
        raise UserError(f"{flag} is for studies that train; {path} looks its results up in a table")


def read(path: str | Path) -> TableStudy:
    """Read the file of a tabular study.

    Raises:
        UserError: names the file and what is wrong in it.
    """
    try:
        return TableStudy.create(content(path) or {})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
