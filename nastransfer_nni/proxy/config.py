"""Options of the proxy commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, create_model, model_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.data import sources
from nastransfer_nni.proxy import spec
from search_spaces.errors import UserError


def _options() -> dict[str, Any]:
    """The options of all kinds, each once, with the kinds that take it."""
    described: dict[str, str] = {}
    takers: dict[str, list[str]] = {}
    for kind, model in spec.KINDS.items():
        for name, field in model.model_fields.items():
            if name != "kind":
                described.setdefault(name, field.description or "")
                takers.setdefault(name, []).append(kind)
    return {
        name: (Any, Field(None, description=f"{text} ({', '.join(takers[name])})"))
        for name, text in described.items()
    }


class _Make(Config):
    source: str = Field(description="image set: a known name, owner/name on the Hub, or a folder")
    kind: str = Field(
        "all", description=f"{', '.join(spec.KINDS)}; or a short form such as classes:10+images:0.5"
    )
    seed: int = Field(0, description="of every random choice")
    out: str = Field(description="the manifest to write, a .json file")
    on_bad_image: Literal["stop", "skip"] = Field("stop", description="at chosen images that cannot be read")
    overwrite: bool = Field(False, description="replace a manifest that chooses otherwise")

    @property
    def steps(self) -> tuple[spec.Step, ...]:
        """What the options ask for."""
        given = {
            name: ",".join(map(str, value)) if isinstance(value, tuple | list) else value
            for name in type(self).model_fields
            if name not in _Make.model_fields and (value := getattr(self, name)) is not None
        }
        pixels = given.pop("pixels", None) if self.kind != "resolution" else None
        if self.kind in spec.KINDS:
            steps: tuple[spec.Step, ...] = (spec.make_step(self.kind, given),)
        else:
            steps = spec.parse_steps(self.kind)
            if given:
                flag = next(iter(given)).replace("_", "-")
                raise UserError(f"--{flag} goes with one kind; a short form has it as kind:...,name=value")
        return steps if pixels is None else (*steps, spec.make_step("resolution", {"pixels": pixels}))

    @model_validator(mode="after")
    def _check(self) -> Self:
        sources.check(self.source)
        _ = self.steps
        path = Path(self.out)
        if path.suffix != ".json":
            raise UserError(f"--out must be a .json file (got {self.out!r})")
        if not path.parent.is_dir():
            raise UserError(f"--out: no folder {str(path.parent)!r}")
        return self


MakeConfig = create_model("MakeConfig", __base__=_Make, **_options())


class ShowConfig(Config):
    """Options of `show`."""

    proxy: str = Field(description="a manifest, or a short form with --source")
    source: str | None = Field(None, description="image set; default: the one that the manifest names")
    seed: int = Field(0, description="of a short form's choices")
    picture: str | None = Field(None, description="PNG of its images; default: beside the manifest")

    @model_validator(mode="after")
    def _check(self) -> Self:
        spec.parse(self.proxy)
        if self.source is not None:
            sources.check(self.source)
        elif not spec.is_manifest(self.proxy):
            raise UserError("a short form needs --source")
        return self


class DiffConfig(Config):
    """Options of `diff`."""

    first: str = Field(description="a manifest")
    second: str = Field(description="a manifest")
    source: str | None = Field(None, description="image set; default: the one that each manifest names")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for path in (self.first, self.second):
            if not Path(path).is_file():
                raise UserError(f"no proxy manifest {path!r}")
        if self.source is not None:
            sources.check(self.source)
        return self
