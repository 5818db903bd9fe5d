"""The genotype that a mixture stands for, within the limits on multiply-adds and on skips."""

from __future__ import annotations

from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import CANDIDATES, CONCAT
from search_spaces.sizes import CellCosts
from strategies.interfaces import SearchContext
from strategies.projection import Weights, project_to_limit

SKIP = "skip_connect"


def skips(genotype: Genotype) -> int:
    """Number of skips in the normal cell."""
    return sum(name == SKIP for name, _ in genotype.normal)


def derive(
    normal: Weights, reduce: Weights, context: SearchContext, max_skips: int | None = None
) -> Genotype:
    """The genotype of a mixture by the rule of DARTS (Liu, Simonyan, Yang, ICLR 2019, section 2.4).

    With `max_skips` the chosen skip of the smallest weight loses it, and the cell is derived again, until
    there are few enough (P-DARTS, Chen et al., ICCV 2019, section 3.3.2).

    Args:
        normal: weights of the candidates in the normal cell, [14, 8].
        reduce: weights of the candidates in the reduction cell, [14, 8].
        context: limit on the multiply-adds.
        max_skips: largest number of skips in the normal cell; None: no limit.

    Raises:
        UserError: no cell keeps both limits.
    """
    genotype = _within_limit(normal, reduce, context)
    if max_skips is None:
        return genotype
    column, weights = CANDIDATES.index(SKIP), normal.copy()
    while skips(genotype) > max_skips:
        chosen = [
            sum(range(2, node)) + state
            for node, pair in zip(CONCAT, genotype.nodes("normal"), strict=True)
            for name, state in pair
            if name == SKIP
        ]
        least = min(chosen, key=lambda edge: weights[edge, column])
        if weights[least, column] < 0:
            raise UserError(f"no cell within the limit has at most {max_skips} skips; allow more")
        weights[least, column] = -1
        genotype = _within_limit(weights, reduce, context)
    return genotype


def _within_limit(normal: Weights, reduce: Weights, context: SearchContext) -> Genotype:
    genotype = Genotype.from_mixture(normal, reduce)
    if context.fits(genotype):
        return genotype
    assert isinstance(context.mult_adds, CellCosts) and context.max_mult_adds is not None
    return project_to_limit(normal, reduce, context.mult_adds, context.max_mult_adds)
