"""Search strategies: NNI strategies by name, each with its published defaults.

`darts:order=2` names a strategy with options. Names and options are known without importing torch and NNI.
A strategy is one file and one line here; docs/extending.md shows a complete one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strategies.options import CandidateOptions, Options
from strategies.presets import PRESETS
from strategies.registry import (
    STRATEGIES,
    StrategySpec,
    check,
    parse,
    register,
    upgrade,
    upgrade_options,
    with_options,
)

if TYPE_CHECKING:
    from nni.nas.strategy import Strategy

__all__ = [
    "STRATEGIES",
    "CandidateOptions",
    "Options",
    "StrategySpec",
    "check",
    "create",
    "parse",
    "register",
    "upgrade",
    "upgrade_options",
    "with_options",
]

register(
    "darts",
    "strategies.darts.options:DartsOptions",
    "softmax-weighted operations, alphas and weights in turn",
)
for _name, _location, _summary in PRESETS:
    register(_name, f"strategies.presets.{_location}", _summary)
register(
    "enas", "strategies.builtin:EnasOptions", "an LSTM controller trained by REINFORCE on shared weights"
)
register("nao", "strategies.nao.options:NaoOptions", "gradient steps in a learned space of cells")
register("random_ws", "strategies.builtin:RandomWsOptions", "random search with weight sharing")
register(
    "evolution", "strategies.builtin:EvolutionOptions", "regularized evolution, or NSGA-Net's, of candidates"
)
register(
    "local_search",
    "strategies.builtin:LocalSearchOptions",
    "hill climbing over trained candidates, with restarts",
)
register(
    "score",
    "strategies.scores.options:ScoreOptions",
    "the best of many cells by scores of untrained networks",
)
register("random", "strategies.builtin:RandomOptions", "a uniform draw, or the best of several once trained")


def create(name: str, **options: Any) -> Strategy:
    """Make the strategy `name`, for example `create("darts", order=2)`.

    Raises:
        UserError: the name or an option is unknown, or an option's value is out of range.
    """
    return check(name, options).create()
