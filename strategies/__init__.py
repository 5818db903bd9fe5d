"""How the space is searched: NNI strategies by name, each with its published defaults.

`darts:order=2` names a strategy with options. Names and options are known without torch and NNI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strategies.options import STRATEGIES, Options, StrategySpec, check, parse, upgrade, upgrade_options

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy

__all__ = ["STRATEGIES", "Options", "StrategySpec", "check", "create", "parse", "upgrade", "upgrade_options"]


def create(name: str, **options: Any) -> Strategy:
    """Make the strategy `name`.

    Raises:
        ValueError: the name or an option is not known, or an option's value is out of range.
    """
    return StrategySpec(name, name, check(name, options)).create()
