"""Options of the commands `proxy make`, `show`, `export` and `diff`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, InstanceOf, create_model, model_validator
from pydantic.fields import FieldInfo

from nastransfer_nni.base.config import Config, FromText, OutputFile
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.proxy.step import KINDS, Step
from search_spaces.errors import UserError

SourceOption = Annotated[InstanceOf[Source], FromText(sources.check)]


@dataclass(frozen=True)
class _Unset:
    """Value of a kind's option that is not given; `--help` shows the kind's default.

    Attributes:
        default: the kind's default.
    """

    default: Any

    def __str__(self) -> str:
        return str(self.default)


class MakeConfig(Config):
    """Options of `make`, without those of the kinds (see `MakeFlags`)."""

    renamed: ClassVar = {"pixels": "img_size"}

    source: SourceOption = Field(
        description="image set to select from: a known name, a Hub name (owner/name) or a folder"
    )
    kind: str = Field(
        "all",
        description=f"how to select the images: {', '.join(KINDS)}; or a short form such as "
        "classes:10+images:0.5, which has its options inside",
    )
    seed: int = Field(0, description="random seed of every choice")
    out: OutputFile = Field(description="path of the manifest to write, a .json file")
    on_bad_image: Literal["stop", "skip"] = Field(
        "stop",
        description="what to do with selected images that cannot be decoded: stop with an error, or exclude "
        "them and select again",
    )
    overwrite: bool = Field(
        False, description="replace the file of --out if it is a manifest of other images"
    )

    @cached_property
    def proxy(self) -> ProxySpec:
        """The proxy set that the options ask for."""
        given = {
            name: ",".join(map(str, value)) if isinstance(value, tuple | list) else value
            for name in type(self).model_fields
            if name not in MakeConfig.model_fields and not isinstance(value := getattr(self, name), _Unset)
        }
        last: tuple[Step, ...] = ()
        if self.kind != "resolution" and "img_size" in given:
            last = (spec.make_step("resolution", {"img_size": given.pop("img_size")}),)
        if self.kind in KINDS:
            steps = (spec.make_step(self.kind, given), *last)
        else:
            steps = (*spec.parse_steps(self.kind), *last)
            if given:
                flag = next(iter(given)).replace("_", "-")
                raise UserError(f"--{flag} needs a single kind; a short form has it as kind:...,name=value")
        return ProxySpec(spec.text_of(steps), steps)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.proxy  # refuses what does not fit together
        if Path(self.out).suffix != ".json":
            raise UserError(f"--out must be a .json file (got {self.out!r})")
        return self


def _kind_options() -> dict[str, Any]:
    """The options of all kinds as fields of a config, each with the kinds that have it."""
    kinds_of: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for kind, step in KINDS.items():
        for name, field in step.model_fields.items():
            kinds_of.setdefault(name, []).append(kind)
            fields.setdefault(name, field)
    return {
        name: (
            Any,
            Field(
                _Unset(None if field.is_required() else field.default),
                description=f"{field.description} ({', '.join(kinds_of[name])})",
            ),
        )
        for name, field in fields.items()
    }


MakeFlags = create_model("MakeFlags", __base__=MakeConfig, **_kind_options())
"""Options of `make` with a flag for every option of every kind."""


class ShowConfig(Config):
    """Options of `show`."""

    proxy: Annotated[InstanceOf[ProxySpec], FromText(spec.parse)] = Field(
        description="proxy set to show: a manifest, or a short form such as classes:5 together with --source"
    )
    source: SourceOption | None = Field(
        None, description="image set to select from; None: the one that the manifest names"
    )
    seed: int = Field(0, description="random seed of a short form's choices; a manifest has its own")
    picture: str | None = Field(
        None,
        description="PNG file for a grid of images; None: next to the manifest, none for a short form",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source is None and self.proxy.manifest is None:
            raise UserError("a short form needs --source")
        return self


class ExportConfig(Config):
    """Options of `export`."""

    proxy: Annotated[InstanceOf[ProxySpec], FromText(spec.parse)] = Field(
        description="proxy set to export: a manifest, or a short form like classes:5 together with --source"
    )
    out: OutputFile = Field(description="file to write: .npy for a NumPy array, any other name for text")
    content: Literal["positions", "keys"] = Field(
        "positions",
        description="what to write of every selected image: its position in the order in which the set is "
        "stored, from 0 on, or its key",
    )
    source: SourceOption | None = Field(
        None, description="image set to select from; None: the one that the manifest names"
    )
    seed: int = Field(0, description="random seed of a short form's choices; a manifest has its own")
    overwrite: bool = Field(False, description="replace the file of --out")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source is None and self.proxy.manifest is None:
            raise UserError("a short form needs --source")
        if Path(self.out).exists() and not self.overwrite:
            raise UserError(f"{self.out} exists; --overwrite replaces it")
        return self


class DiffConfig(Config):
    """Options of `diff`."""

    first: str = Field(description="manifest of the first proxy set")
    second: str = Field(description="manifest of the second proxy set")
    source: SourceOption | None = Field(
        None, description="image set that both were selected from; None: the one that each manifest names"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for path in (self.first, self.second):
            if not Path(path).is_file():
                raise UserError(f"no proxy manifest {path!r}")
        return self
