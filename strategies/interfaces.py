"""What a strategy is told by whoever runs it: seed, budget, limit, and where its records go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from search_spaces import Genotype
from search_spaces.errors import UserError

Tables = dict[str, list[list[float]]]
"""Weights [14, 8] of the candidates on every edge of `normal` and `reduce` cells; empty where a strategy has
none."""

Architecture = TypeVar("Architecture")

DRAWS = 100_000
"""Draws after which a limit that none of them has met counts as out of reach."""


class Recorder(Protocol):
    """Where a search reports to."""

    def expect(self, total: int) -> None:
        """The search will take `total` epochs; or candidates, where those are trained one by one."""

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Figures of `split` at the end of `epoch`, after `step` steps in all.

        A strategy that trains candidates one by one counts them as epochs.
        """

    def record(self, epoch: int, genotype: Genotype, mixture: Tables, top1: float) -> None:
        """The architecture that the search stands at after `epoch`."""

    def advance(self, epoch: int, done: int, total: int) -> None:
        """`done` of `total` steps of `epoch` have been taken."""


class Journal(Protocol):
    """The candidates that were scored one by one, an entry each; what a killed search goes on from.

    Entries are JSON values. One that was appended is there after any kill.
    """

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def append(self, entry: dict[str, Any], /) -> object:
        """Keep an entry."""


@dataclass(frozen=True)
class SearchContext:
    """The context of a search.

    Attributes:
        seed: of every draw the strategy makes.
        budget: images that may pass through a network with a gradient; None: as the options say. A search
            takes as many whole epochs, or candidates, as fit.
        mult_adds: counts the final network of an architecture; needed with a limit, and by strategies that
            minimise it.
        max_mult_adds: what the architecture found may cost at most; None: no limit.
        journal: of the candidates scored one by one.
    """

    seed: int = 0
    budget: int | None = None
    mult_adds: Callable[[Any], int] | None = None
    max_mult_adds: int | None = None
    journal: Journal = field(default_factory=list[dict[str, Any]])

    def fits(self, architecture: Any) -> bool:
        """Whether the final network keeps within the limit."""
        return self.max_mult_adds is None or self.cost(architecture) <= self.max_mult_adds

    def cost(self, architecture: Any) -> int:
        """Mult_adds of the final network.

        Raises:
            UserError: no counter was given.
        """
        if self.mult_adds is None:
            raise UserError("this search needs to count mult_adds, and was given no counter")
        return self.mult_adds(architecture)

    def first_fit(
        self, draws: Callable[[], Architecture], decode: Callable[[Architecture], Any]
    ) -> Architecture:
        """Draw until the limit is kept: rejection, which leaves the draws within the limit as they were.

        Raises:
            UserError: no draw of very many keeps the limit.
        """
        for _ in range(DRAWS):
            drawn = draws()
            if self.fits(decode(drawn)):
                return drawn
        raise UserError(
            f"none of {DRAWS:,} draws keeps within max_mult_adds = {self.max_mult_adds:,}; allow more"
        )

    def whole(self, samples: int, what: str) -> int | None:
        """How many things of `samples` images each the budget pays for; None without a budget.

        Raises:
            UserError: it pays for none.
        """
        if self.budget is None:
            return None
        if self.budget < samples:
            raise UserError(f"a budget of {self.budget:,} samples is less than one {what} ({samples:,})")
        return self.budget // samples
