"""Options: declared once as a frozen, typed model; read by commands, study files and Python alike."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Gt
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

from nastransfer_nni.base.paths import expanded
from search_spaces.errors import UserError, unknown
from search_spaces.numbers import as_count, require_computable

Count = Annotated[int, Gt(0), BeforeValidator(as_count)]
"""A number above 0, as 600000000 or 600M."""


DEVICES = ("cpu", "cuda", "mps", "xpu")


def _device(name: str) -> str:
    if name != "auto" and name.split(":")[0] not in DEVICES:
        raise UserError("must be auto, cpu, cuda, cuda:N, mps or xpu")
    return name


DeviceName = Annotated[str, AfterValidator(_device)]
"""What `--device` takes; whether the machine has it shows when it is used."""


def _in_a_folder(name: str) -> str:
    path = expanded(name)
    if not path.parent.is_dir():
        raise UserError(f"no folder {str(path.parent)!r}")
    return str(path)


OutputFile = Annotated[str, AfterValidator(_in_a_folder)]
"""A file to write, whose folder is there: what is refused before the work need not be done again."""


@dataclass(frozen=True)
class FromText:
    """Annotation of an option that is read from a text and travels as an object from then on.

    Attributes:
        parse: makes the object; raises UserError where the text does not fit. The object has an attribute
            `text`, which is what files show of it.
    """

    parse: Callable[[str], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if hasattr(value, "text") else self.parse(str(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.text),
        )


class Config(BaseModel):
    """Base of every set of options.

    A field's `Field(description=...)` is what `--help` shows. Options are checked when they are made, so that
    nothing starts with a bad one.

    Attributes:
        renamed: options of version 0.1 with what they are called now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="after")
    def _numbers_are_computable(self) -> Self:
        require_computable((_flag(name), getattr(self, name)) for name in self.model_fields_set)
        return self

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> Self:
        """Make the config from `options`.

        Raises:
            UserError: names the first option that does not fit, its value and what is allowed.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            raise _explained(error, cls) from None
        except OSError as error:  # the name of a file that is too long, say
            raise UserError(f"{error.strerror}: {str(error.filename)[:80]!r}") from None

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The defaults of all options that have one, as JSON values."""
        return {
            name: to_jsonable_python(field.default, fallback=lambda value: value.text)
            for name, field in cls.model_fields.items()
            if not field.is_required()
        }

    @classmethod
    def upgrade(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as version 0.1 wrote them, by their names of today."""
        return {cls.renamed.get(name, name): value for name, value in options.items()}


def _explained(error: ValidationError, config: type[Config]) -> UserError:
    """What is wrong with the first option that does not fit; a defect of ours is raised as it is."""
    errors = error.errors()  # a mistyped option explains why another one is missing, so it comes first
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    cause = first.get("ctx", {}).get("error")
    if cause is not None and not isinstance(cause, UserError):
        raise cause
    flag = _flag("-".join(str(part) for part in first["loc"]))
    if first["type"] == "missing":
        return UserError(f"{flag} is needed")
    if first["type"] == "extra_forbidden":
        return unknown("option", first["loc"][-1], list(config.model_fields), config.renamed)
    if cause is not None:
        given = first["input"]
        if not first["loc"] or not isinstance(given, str | int | float | tuple | list):
            return UserError(str(cause))
        has_shown = "(got " in str(cause)  # the part of the value that does not fit
        return UserError(f"{flag}: {cause}" if has_shown else f"{flag}: {cause} (got {_shown(given)})")
    return UserError(f"{flag}: {first['msg']} (got {_shown(first['input'])})")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


class _Shortened(reprlib.Repr):
    """Values in messages: whole where they are short."""

    maxstring = maxother = maxlong = 120


def _shown(value: Any) -> str:
    try:
        return _Shortened().repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
