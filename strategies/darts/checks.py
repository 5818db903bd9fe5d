"""Which options of differentiable search do not go together, with a search space, or with a search."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from search_spaces import Space, registry
from search_spaces.errors import UserError
from search_spaces.geometry import MIN_LAYERS
from strategies.darts.sizes import CANDIDATES, EDGES_OF_NODES

if TYPE_CHECKING:
    from strategies.darts.options import DartsOptions


Conflict = tuple[bool, str]
"""Whether the options have a conflict, and what it is."""

DRAWN = ("gumbel", "gumbel-hard", "dirichlet")
"""Relaxations that draw the weights of the candidates."""


def check_options(options: DartsOptions) -> None:
    """Refuse options that do not go together.

    Raises:
        UserError: says which.
    """
    _refuse(
        [
            *_of_steps(options),
            *_of_parts(options),
            *_of_stages(options),
            *_of_projection(options),
        ]
    )


def _refuse(conflicts: list[Conflict]) -> None:
    for is_met, reason in conflicts:
        if is_met:
            raise UserError(reason)


def _of_steps(options: DartsOptions) -> list[Conflict]:
    """Conflicts of recomputation and of the second order."""
    return [
        (options.recompute and options.cell == "plain", "recompute is not supported with cell=plain"),
        (options.recompute and options.drop_path > 0, "recompute is not supported with drop_path"),
        (
            options.drop_path > 0 and options.order == 2,
            "drop_path draws anew in every pass, whose differences order=2 takes: it needs order=1",
        ),
        (
            options.relaxation == "gumbel-hard" and options.order == 2,
            "order=2 differentiates through the weights, which relaxation=gumbel-hard cannot; use gumbel",
        ),
        (
            not options.bilevel and options.order == 2,
            "order=2 needs bilevel=true: it looks at the alpha split",
        ),
    ]


def _of_parts(options: DartsOptions) -> list[Conflict]:
    """Conflicts of temperature, regularization, perturbation and freezing."""
    one_hot, sigmoid = options.relaxation == "gumbel-hard", options.relaxation == "sigmoid"
    return [
        (
            options.temperature_min > options.temperature,
            f"temperature_min={options.temperature_min:g} is above temperature={options.temperature:g}",
        ),
        (
            options.regularization == "zero-one" and not sigmoid,
            "regularization=zero-one is about sigmoids: it needs relaxation=sigmoid",
        ),
        (
            options.regularization == "beta" and sigmoid,
            "regularization=beta is about competing candidates, which relaxation=sigmoid has not",
        ),
        (
            options.perturbation != "none" and (one_hot or sigmoid),
            f"perturbation={options.perturbation} needs weights that add up to 1, and not of one candidate "
            f"alone: relaxation={options.relaxation} has none",
        ),
        (
            options.perturbation != "none" and not options.bilevel,
            f"perturbation={options.perturbation} concerns the step of the weights: it needs bilevel=true",
        ),
        (
            options.freeze_below > 0 and (options.order == 2 or not options.bilevel),
            "freeze_below compares the weights' gradients on both splits: it needs order=1, bilevel=true",
        ),
    ]


def _of_stages(options: DartsOptions) -> list[Conflict]:
    long = {name: values for name, values in options.stage_values().items() if len(values) > 1}
    given = " and ".join(options.shown(name) for name in long)
    parts, kept = options.partial_channels, options.operations
    offered = CANDIDATES if options.none else CANDIDATES - 1
    return [
        (len({len(values) for values in long.values()}) > 1, f"{given} give different numbers of stages"),
        (
            any(later > earlier for earlier, later in itertools.pairwise(kept)),
            f"{options.shown('operations')}: a stage cannot keep more than the one before",
        ),
        (
            kept[0] != offered and (len(kept) > 1 or kept[0] != CANDIDATES),
            f"{options.shown('operations')}: the first stage has all {offered} candidates of an edge",
        ),
        (
            max(options.skip_dropout) > 0 and options.order == 2,
            "skip_dropout draws anew in every pass, whose differences order=2 takes: it needs order=1",
        ),
        (
            options.freeze_below > 0 and options.stages > 1,
            "freeze_below is not supported with several stages, whose operations are not the same",
        ),
        (
            not options.restart and any(later != options.add_layers[0] for later in options.add_layers),
            "add_layers of several stages needs restart=true: other cells have other weights",
        ),
        (
            not options.restart and any(later > earlier for earlier, later in itertools.pairwise(parts)),
            f"{options.shown('partial_channels')}: without restart=true a stage computes no fewer channels "
            "than the one before",
        ),
    ]


def _of_projection(options: DartsOptions) -> list[Conflict]:
    projects = options.derivation == "projection"
    return [
        (
            projects and (options.stages > 1 or options.operations[0] < CANDIDATES - 1),
            "derivation=projection chooses among all candidates: it needs one stage that keeps them",
        ),
        (
            projects and options.max_skips is not None,
            "max_skips is not supported with derivation=projection, which makes its own choice",
        ),
        (
            projects and options.stop_skips > 0,
            "stop_skips is not supported with derivation=projection, which comes after the search",
        ),
    ]


def why_eager(options: DartsOptions, space: Space) -> str:
    """What a CUDA graph of a step cannot have: draws, numbers read from the device, and two steps in one.

    Returns:
        Why such a search takes its steps without graphs; empty where it need not.
    """
    draws = "draws anew in every step"
    reasons: list[Conflict] = [
        (not options.bilevel, "bilevel=false updates alphas and weights in one step"),
        (options.recompute, "recompute=true keeps the state of random generators"),
        (options.freeze_below > 0, "freeze_below compares gradients in every step"),
        (options.relaxation in DRAWN, f"relaxation={options.relaxation} {draws}"),
        (options.perturbation != "none", f"perturbation={options.perturbation} {draws}"),
        (options.operation_dropout > 0, f"operation_dropout {draws}"),
        (max(options.skip_dropout) > 0, f"skip_dropout {draws}"),
        (options.drop_path > 0, f"drop_path {draws}"),
        (space.draws_noise, f"the operation noise {draws}"),
        (options.is_sparse or not space.is_complete, "a step reads which candidates it computes"),
    ]
    return next((reason for is_met, reason in reasons if is_met), "")


def check_space(options: DartsOptions, space: Space) -> None:
    """Refuse a search space that a part of the method was not made for.

    Raises:
        UserError: says which option does not fit.
    """
    is_full = space.is_complete and len(space.candidates) == CANDIDATES
    conflicts = [
        (
            options.recompute and not space.has_fast_cell,
            f"recompute needs the fast search-time cell, which {space.text} does not have",
        ),
        (
            max(options.partial_channels) > 1 and not space.has_partial_cell,
            f"{options.shown('partial_channels')} is not supported in {space.text}",
        ),
        (
            len(options.operations) > 1 and not is_full,
            f"{options.shown('operations')} prunes the candidates of darts stage by stage; "
            f"{space.text} has others",
        ),
        (
            options.derivation == "projection" and space.node_inputs != registry.default().node_inputs,
            f"derivation=projection needs {len(EDGES_OF_NODES)} nodes of two inputs, which {space.text} "
            "does not have",
        ),
    ]
    _refuse(conflicts)


def check_search(options: DartsOptions, epochs: int, width: int, layers: int) -> None:
    """Refuse a search that the stages do not fit into.

    Args:
        options: options of the strategy.
        epochs: number of epochs, without those of a projection.
        width: channels of the first cell's nodes.
        layers: number of cells.

    Raises:
        UserError: says which option does not fit.
    """
    if (fewest := layers + min(options.add_layers)) < MIN_LAYERS:
        raise UserError(
            f"{options.shown('add_layers')} leaves {fewest} of {layers} cells; a supernet needs {MIN_LAYERS}"
        )
    for parts in options.partial_channels:
        if width % parts:
            raise UserError(f"partial_channels = {parts} does not divide the {width} channels of a cell")
    shortest = epochs // options.stages
    if options.stages > 1 and shortest <= options.frozen_epochs:
        raise UserError(
            f"{options.stages} stages have {shortest} of {epochs} epochs each, which frozen_epochs="
            f"{options.frozen_epochs} leaves without a step of the alphas; train longer or freeze less"
        )
    if options.derivation == "projection" and options.frozen_epochs >= epochs:
        raise UserError(
            f"derivation=projection needs alphas, which frozen_epochs={options.frozen_epochs} of {epochs} "
            "epochs leaves untrained"
        )
