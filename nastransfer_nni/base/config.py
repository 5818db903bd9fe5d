"""Options: declared once as a frozen, typed model; read by commands, study files and Python alike."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from annotated_types import Gt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from search_spaces.errors import UserError

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9}


def _count(value: Any) -> Any:
    """A number with a unit, as 600M."""
    found = (
        re.fullmatch(r"([\d.]+)([KMG]?)", value.strip(), re.IGNORECASE) if isinstance(value, str) else None
    )
    return round(float(found[1]) * _UNITS[found[2].upper()]) if found else value


Count = Annotated[int, Gt(0), BeforeValidator(_count)]
"""A number above 0, as 600000000 or 600M."""


DEVICES = ("cpu", "cuda", "mps", "xpu")


def _device(name: str) -> str:
    if name != "auto" and name.split(":")[0] not in DEVICES:
        raise ValueError("must be auto, cpu, cuda, cuda:N, mps or xpu")
    return name


DeviceName = Annotated[str, AfterValidator(_device)]
"""What `--device` takes; whether the machine has it shows when it is used."""


class Config(BaseModel):
    """Base of every set of options.

    A field's `Field(description=...)` is what `--help` shows. Options are checked when they are made, so
    that nothing starts with a bad one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    @classmethod
    def create(cls, options: dict[str, Any]) -> Self:
        """Make the config from `options`.

        Raises:
            UserError: names the first option that does not fit, its value and what is allowed.
        """
        try:
            return cls(**options)
        except ValidationError as error:
            first = error.errors()[0]
            flag = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
            message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            if first["type"] == "missing":
                raise UserError(f"{flag} is needed") from None
            if not first["loc"]:
                raise UserError(message) from None
            raise UserError(f"{flag}: {message} (got {first['input']!r})") from None
