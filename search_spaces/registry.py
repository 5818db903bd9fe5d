"""Search spaces by name, and the grammar of `--space`.

    space    = name [":" options]
    options  = option "=" value ("," option "=" value)*

`darts:nodes=3` is the space `darts` with an option.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from search_spaces.base import AbstractGenotype, Space
from search_spaces.errors import UserError, unknown
from search_spaces.grammar import explained, pairs

DEFAULT = "darts"
"""The space where none is named, and of files that do not say."""


@dataclass(frozen=True)
class Entry:
    """A space that is known by name.

    Attributes:
        summary: what the space holds, in one line.
        location: the class of the space, as `module:class`.
    """

    summary: str
    location: str

    @property
    def space(self) -> type[Space]:
        """Class of the space; its module is imported when it is first asked for."""
        module, _, name = self.location.partition(":")
        found: type[Space] = getattr(importlib.import_module(module), name)
        return found


SPACES: dict[str, Entry] = {}
"""The registered spaces by name."""


def register(name: str, location: str, summary: str) -> None:
    """Make a space known by a name.

    Args:
        name: name of the space, as in `--space NAME`.
        location: the class of the space, as `module:class`; importing it must not import torch.
        summary: what the space holds, in one line.
    """
    assert name not in SPACES, f"there are two spaces named {name!r}"
    SPACES[name] = Entry(summary, location)


@cache
def parse(text: str) -> Space:
    """Read a space with its options, by the grammar of this module.

    Raises:
        UserError: the text does not follow the grammar, or the name or an option is unknown.
    """
    name, colon, rest = text.partition(":")
    options = pairs(rest, text) if colon else {}
    if name not in SPACES:
        raise unknown("space", name, list(SPACES))
    model = SPACES[name].space
    for option in options:
        if option not in model.model_fields:
            raise unknown(f"{name} option", option, list(model.model_fields))
    try:
        return model(**options)
    except ValidationError as error:
        raise explained(error, name, model) from None


def default() -> Space:
    """The space of DARTS."""
    return parse(DEFAULT)


def families() -> Iterator[Space]:
    """One space for each class of genotypes, in the order of the registry."""
    seen: set[type[AbstractGenotype]] = set()
    for name in SPACES:
        space = parse(name)
        if space.genotype_class not in seen:
            seen.add(space.genotype_class)
            yield space


def has_text(content: str) -> bool:
    """Whether an architecture as the literature prints it may stand in a text."""
    return any(space.mark in content for space in families())


def genotype_of_text(content: str) -> AbstractGenotype:
    """Read the architecture that stands in a text, of whatever space; `has_text` has said that one may.

    Raises:
        UserError: says what does not read as an architecture.
    """
    space = next(space for space in families() if space.mark in content)
    return space.genotype_class.from_text(content)


def genotype_of_dict(value: Mapping[str, Any]) -> AbstractGenotype:
    """Read the JSON form of an architecture, of whatever space.

    Raises:
        UserError: names the part that is missing, unknown or does not fit.
    """
    found = (space for space in families() if any(kind in value for kind in space.kinds))
    return next(found, default()).genotype_class.from_dict(value)


def genotype_of_sample(sample: Mapping[str, Any]) -> AbstractGenotype:
    """Read an NNI sample, of whatever space.

    Raises:
        UserError: names the label that is missing, unknown or does not fit.
    """
    kinds = {label.partition("/")[0] for label in sample}
    found = (space for space in families() if kinds & set(space.kinds))
    return next(found, default()).genotype_class.from_sample(sample)


def space_of(genotype: AbstractGenotype) -> Space:
    """The space of an architecture that comes without one, such as a genotype out of a log.

    Raises:
        UserError: no registered space has such architectures.
    """
    for space in families():
        if isinstance(genotype, space.genotype_class):
            return type(space).around(genotype)
    raise UserError(f"no search space has architectures such as {type(genotype).__name__}")
