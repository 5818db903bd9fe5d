"""The genotype that a mixture stands for, within the limits on its sizes and on skips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search_spaces import AbstractGenotype, Space
from search_spaces.errors import UserError
from strategies.interfaces import SearchContext
from strategies.projection import Weights, project_to_limits

SKIP = "skip_connect"


def skips(genotype: AbstractGenotype, space: Space) -> int:
    """Number of skips in the normal cell, or in the only kind of cell."""
    return sum(name == SKIP for name, _ in genotype.edges(space.kinds[0]))


def derive(
    mixture: Mapping[str, Weights], space: Space, context: SearchContext, max_skips: int | None = None
) -> AbstractGenotype:
    """The genotype of a mixture by the rule of DARTS (Liu, Simonyan, Yang, ICLR 2019, section 2.4).

    With `max_skips` the chosen skip of the smallest weight loses it, and the cell is derived again, until
    there are few enough (P-DARTS, Chen et al., ICCV 2019, section 3.3.2).

    Args:
        mixture: weights of the candidates, [edges, candidates] for each kind of cell.
        space: the search space.
        context: limits on sizes.
        max_skips: largest number of skips in the normal cell; None: no limit.

    Raises:
        UserError: no cell keeps all limits.
    """
    genotype = _within_limit(mixture, space, context)
    if max_skips is None:
        return genotype
    kind, column = space.kinds[0], space.candidates.index(SKIP)
    weights = mixture[kind].copy()
    while skips(genotype, space) > max_skips:
        edges = zip(_rows(genotype, space), genotype.edges(kind), strict=True)
        chosen = [row for row, (name, _) in edges if name == SKIP]
        least = min(chosen, key=lambda edge: weights[edge, column])
        if weights[least, column] < 0:
            raise UserError(f"no cell within the limit has at most {max_skips} skips; allow more")
        weights[least, column] = -1
        genotype = _within_limit({**mixture, kind: weights}, space, context)
    return genotype


def _rows(genotype: AbstractGenotype, space: Space) -> list[int]:
    """The rows of the tables that the edges of a genotype's first kind of cell have."""
    nodes = space.node_inputs
    first = np.repeat(np.cumsum([0, *(node.edges for node in nodes[:-1])]), [node.kept for node in nodes])
    return [int(row) + state for row, (_, state) in zip(first, genotype.edges(space.kinds[0]), strict=True)]


def _within_limit(mixture: Mapping[str, Weights], space: Space, context: SearchContext) -> AbstractGenotype:
    genotype = space.derive(mixture)
    if context.fits(genotype):
        return genotype
    return project_to_limits(mixture, space, context.limits)
