"""The options of every strategy: frozen, typed, checked, and light to import."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Options(BaseModel):
    """Base of a strategy's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self) -> dict[str, Any]:
        """The options that are not at their default: what tells two uses of a strategy apart."""
        return self.model_dump(exclude_defaults=True)


class DartsOptions(Options):
    """Differentiable search (Liu, Simonyan, Yang, ICLR 2019)."""

    alpha_learning_rate: float = Field(3e-4, gt=0, description="Adam's learning rate for the alphas")
    alpha_weight_decay: float = Field(1e-3, ge=0, description="Adam's weight decay for the alphas")
    cell: Literal["plain"] = Field("plain", description="the search-time cell")


@dataclass(frozen=True)
class Entry:
    """A strategy that can be asked for by name.

    Attributes:
        summary: what it does, in one line.
        options: its options.
        implementation: `module:class`, imported when it is created.
        shares_weights: whether it searches on a supernet rather than by training candidates.
    """

    summary: str
    options: type[Options]
    implementation: str
    shares_weights: bool


STRATEGIES: dict[str, Entry] = {
    "darts": Entry(
        "softmax-weighted operations, alphas and weights trained in turn",
        DartsOptions,
        "strategies.darts:Darts",
        True,
    ),
}


def check(name: str, options: dict[str, Any]) -> Options:
    """The options of the strategy `name`, defaults filled in.

    Raises:
        ValueError: says in one line what is not known or out of range, and what is allowed.
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {name!r}{_near(name, list(STRATEGIES))}; known: {', '.join(STRATEGIES)}"
        )
    model = STRATEGIES[name].options
    known = list(model.model_fields)
    for option in options:
        if option not in known:
            raise ValueError(
                f"{name} has no option {option!r}{_near(option, known)}; it has: {', '.join(known)}"
            )
    try:
        return model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        where = f"{name}:{first['loc'][0]}" if first["loc"] else name
        raise ValueError(f"{where}: {message} (got {first['input']!r})") from None


def parse(text: str) -> tuple[str, Options]:
    """Read `name` or `name:option=value,option=value`.

    Raises:
        ValueError: as `check`, or the text is not of that form.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        option, equals, value = part.partition("=")
        if not equals or not option.strip():
            raise ValueError(f"{text!r}: after the colon come option=value pairs, not {part!r}")
        options[option.strip()] = value.strip()
    return name, check(name, options)


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
