"""Random search among the networks of a table: the best of a few by a proxy, each network used once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from search_spaces.errors import UserError

Rows = npt.NDArray[np.int_]


def random_order(groups: pd.Series[str], seed: int) -> list[Rows]:
    """The rows of each group in random order; one group where there are none."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(np.flatnonzero(groups == name)) for name in groups.unique()]


def random_picks(orders: list[Rows], count: int) -> tuple[Rows, list[Rows]]:
    """Random networks, and those that are left for searches.

    They come from the groups by turns, so that both arms have as many of each.

    Args:
        orders: rows of each group in random order.
        count: number of networks, which is rounded up to a multiple of the number of groups.

    Raises:
        UserError: the table has too few networks.
    """
    each = -(-count // len(orders))
    if any(len(order) <= each for order in orders):
        total = sum(map(len, orders))
        raise UserError(f"random_cells: {count} of {total} networks leave none to choose from")
    return np.concatenate([order[:each] for order in orders]), [order[each:] for order in orders]


def draws(orders: list[Rows], candidates: int, count: int) -> Iterator[Rows]:
    """Disjoint draws of candidates, each from one group, by turns.

    Args:
        orders: rows of each group in random order.
        candidates: networks of one draw.
        count: largest number of draws.

    Raises:
        UserError: there are fewer than two draws.
    """
    fitting = [order[: len(order) // candidates * candidates].reshape(-1, candidates) for order in orders]
    most = min(len(order) for order in fitting)
    total = min(count, most * len(orders))
    if total < 2:
        left = sum(map(len, orders))
        raise UserError(
            f"candidates={candidates}: the {left} networks beside the random picks give no two searches; "
            "take fewer candidates or fewer random_cells"
        )
    for number in range(total):
        yield fitting[number % len(orders)][number // len(orders)]
