"""Strategies by name, and the grammar of `--strategy`.

    strategy  = name [":" options]
    name      = registered name | module ":" class
    options   = option "=" value ("," option "=" value)*

`darts:order=2` is a registered strategy with an option. `my_module:HillClimbing:candidates=20` is one of a
module that can be imported: the class is the strategy's `Options`. A registered name always wins, so what
follows its colon is never taken for a class.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from search_spaces.errors import UserError, unknown
from search_spaces.grammar import explained, pairs
from strategies.options import Options

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy


@dataclass(frozen=True)
class Entry:
    """A strategy that is known by name.

    Attributes:
        summary: what the strategy does, in one line.
        location: the class of its options, as `module:class`.
    """

    summary: str
    location: str

    @property
    def options(self) -> type[Options]:
        """Class of the strategy's options; its module is imported when it is first asked for."""
        return _load(self.location)


STRATEGIES: dict[str, Entry] = {}
"""The registered strategies by name."""

FORMER = {"gumbel": ("darts", {"relaxation": "gumbel"})}
"""Names of version 0.1: the strategy, and the options with which it does the same."""


def register(name: str, location: str, summary: str) -> None:
    """Make a strategy known by a name.

    Args:
        name: name of the strategy, as in `--strategy NAME`.
        location: the class of its options, as `module:class`. The module is imported when the name is used.
        summary: what the strategy does, in one line.
    """
    assert name not in STRATEGIES, f"there are two strategies named {name!r}"
    STRATEGIES[name] = Entry(summary, location)


@dataclass(frozen=True)
class StrategySpec:
    """A strategy with its options, as `--strategy` names it.

    Attributes:
        text: the text that it was read from.
        name: registered name, or `module:class`.
        options: options of the strategy, with the defaults filled in.
    """

    text: str
    name: str
    options: Options

    def create(self) -> Strategy:
        """Make the NNI strategy."""
        return self.options.create()


def parse(text: str) -> StrategySpec:
    """Read a strategy with its options, by the grammar of this module.

    Raises:
        UserError: the text does not follow the grammar, or `check` refuses the name or an option.
    """
    name, colon, rest = text.partition(":")
    if name not in STRATEGIES and colon and "=" not in rest.partition(":")[0]:
        class_name, colon, rest = rest.partition(":")
        name = f"{name}:{class_name}"
    return StrategySpec(text, name, check(name, pairs(rest, text) if colon else {}))


def check(name: str, options: Mapping[str, Any]) -> Options:
    """Make the options of a strategy, with the defaults filled in.

    Args:
        name: registered name, or `module:class`.
        options: values, or their texts, by name.

    Raises:
        UserError: in one line, what is unknown or out of range, and what is allowed.
    """
    model = _find(name)
    for option in options:
        if option not in model.model_fields:
            raise unknown(f"{name} option", option, list(model.model_fields), model.renamed)
    try:
        return model(**options)
    except ValidationError as error:
        raise explained(error, name, model) from None


def _find(name: str) -> type[Options]:
    if name in STRATEGIES:
        return STRATEGIES[name].options
    if ":" not in name:
        former = {old: with_options(new, options) for old, (new, options) in FORMER.items()}
        raise unknown("strategy", name, [*STRATEGIES, "package.module:Class"], former)
    return _load(name)


def _load(location: str) -> type[Options]:
    """The options class of `module:class`, imported on demand: implementations may need torch and NNI."""
    module_name, _, class_name = location.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise UserError(f"strategy {location!r} is neither a name nor package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something itself
        raise UserError(
            f"strategy {location!r}: no module {error.name!r}; it must be installed or on PYTHONPATH "
            f"(known by name: {', '.join(STRATEGIES)})"
        ) from None
    found: Any = getattr(module, class_name, None)
    if not _is_options(found):
        there = [name for name, value in vars(module).items() if _is_options(value)]
        raise UserError(
            f"strategy {location!r}: {class_name} is not a class of options (a subclass of "
            f"strategies.Options) in {module_name}; there are: {', '.join(there) or 'none'}"
        )
    return found


def _is_options(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Options) and not value.__abstractmethods__


def upgrade(text: str) -> str:
    """A strategy's text as version 0.1 wrote it, with the names of today."""
    name, _, rest = text.partition(":")
    pairs = dict(part.partition("=")[::2] for part in rest.split(",")) if rest else {}
    today, options = FORMER.get(name, (name, {}))
    options = {**options, **upgrade_options(name, pairs)}
    return with_options(today, options)


def with_options(name: str, options: Mapping[str, Any]) -> str:
    """The text that names a strategy with its options, such as `darts:order=2`."""
    text = ",".join(f"{option}={value}" for option, value in options.items())
    return f"{name}:{text}" if text else name


def upgrade_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a strategy as version 0.1 called them, by their names of today.

    Args:
        name: name of the strategy, then or today; one that is not registered keeps its options.
        options: values by name.
    """
    today = FORMER[name][0] if name in FORMER else name
    renamed = STRATEGIES[today].options.renamed if today in STRATEGIES else {}
    return {renamed.get(option, option): value for option, value in options.items()}
