"""What a strategy gets from the program that runs it: batches, seed, budget, limit, recorder and journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

from torch import Tensor

from search_spaces import AbstractGenotype
from search_spaces.errors import UserError
from strategies.budget import Budget

Tables = dict[str, list[list[float]]]
"""Weights of the candidate operations, [edges, candidates] for each kind of cell: a row per edge, a column
per candidate, [14, 8] for `normal` and `reduce` of DARTS. Empty for a strategy that has none."""

Architecture = TypeVar("Architecture")

MAX_DRAWS = 100_000
"""Draws after which limits that none of them has met count as out of reach."""


class Batches(Protocol):
    """Batches of one split for a search: the same in every run for the same seed and epoch.

    Each process iterates over its own share of every batch; the shares are equally large.

    Attributes:
        batch_size: images per batch, in this process.
    """

    batch_size: int

    @property
    def samples(self) -> int:
        """Images per epoch, in this process."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""

    def __len__(self) -> int:
        """Batches per epoch."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images float [B, 3, H, W] and labels int64 [B] of one batch after the other, on the device."""


class Recorder(Protocol):
    """Receives the metrics and genotypes of a search.

    A strategy that trains candidates one by one counts them as epochs.
    """

    def expect(self, total: int | None) -> None:
        """Announce the number of epochs, or of candidates; None: as many as there is time for."""

    def log(self, split: str, step: int, epoch: int, **values: float) -> None:
        """Report metrics.

        Args:
            split: `train` or `validation`.
            step: optimizer steps since the start; for candidates, images backpropagated since the start.
            epoch: number of the epoch, or of the candidate, from 0.
            **values: metrics by name: `loss`, `top1` in percent, `seconds`, `lr`, `mult_adds`, ...
        """

    def record(self, epoch: int, genotype: AbstractGenotype, mixture: Tables, top1: float) -> None:
        """Report the current genotype after `epoch`.

        Args:
            epoch: number of the epoch, or of the candidate, from 0.
            genotype: the architecture that would be exported now.
            mixture: weights of the candidate operations; empty for a strategy that has none.
            top1: validation accuracy in percent; NaN after an epoch that was not validated.
        """

    def advance(self, epoch: int, done: int, total: int) -> None:
        """Report that `done` of `total` steps of `epoch` have been taken."""


class Journal(Protocol):
    """The candidates that were scored one by one, an entry each, from which a killed search resumes.

    Entries are JSON values. An entry that was appended survives any kill.
    """

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def append(self, entry: dict[str, Any], /) -> object:
        """Store an entry."""


@dataclass(frozen=True)
class Limit:
    """A limit on a size of the final network.

    Attributes:
        name: name of the limit, such as `max_params`.
        size: sizes an architecture; for strategies that weigh candidates, an `EdgeCosts`.
        maximum: largest size that the architecture found may have.
        unit: what one of the shown units is called, such as `parameters`.
        scale: size of one of the shown units.
    """

    name: str
    size: Callable[[Any], int]
    maximum: int
    unit: str
    scale: int = 1

    def fits(self, architecture: Any) -> bool:
        """Whether the final network is within the limit."""
        return self.size(architecture) <= self.maximum

    def shown(self, size: int) -> str:
        """A size with its unit."""
        number = f"{size:,}" if self.scale == 1 else f"{size / self.scale:,.7g}"
        return f"{number} {self.unit}"

    def __str__(self) -> str:
        return f"{self.name} = {self.shown(self.maximum)}"


@dataclass(frozen=True)
class SearchContext:
    """Seed, budget and limits of a search, and its journal.

    Attributes:
        seed: seed of every draw that the strategy makes.
        budget: limits on images and seconds, or the number of images that may be backpropagated; None: as
            many as the options ask for. A search takes as many whole epochs, or candidates, as fit.
        mult_adds: counts the multiply-adds of an architecture's final network; needed with a limit, and by
            strategies that minimise them.
        max_mult_adds: largest number of multiply-adds that the architecture found may have; None: no limit.
        other_limits: limits on other sizes.
        journal: the candidates scored one by one.
    """

    seed: int = 0
    budget: Budget | int | None = None
    mult_adds: Callable[[Any], int] | None = None
    max_mult_adds: int | None = None
    other_limits: tuple[Limit, ...] = ()
    journal: Journal = field(default_factory=list[dict[str, Any]])

    @cached_property
    def allowance(self) -> Budget:
        """The limits of the budget; none of them where there is no budget."""
        return Budget() if self.budget is None else Budget.parse(self.budget)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """All limits on sizes."""
        if self.max_mult_adds is None:
            return self.other_limits
        count = self.mult_adds or self.cost
        limit = Limit("max_mult_adds", count, self.max_mult_adds, "multiply-adds")
        return (limit, *self.other_limits)

    def fits(self, architecture: Any) -> bool:
        """Whether the final network is within the limits."""
        return all(limit.fits(architecture) for limit in self.limits)

    def cost(self, architecture: Any) -> int:
        """Multiply-adds of the final network, per image.

        Raises:
            UserError: the context has no counter.
        """
        if self.mult_adds is None:
            raise UserError("this search counts multiply-adds, so its SearchContext needs mult_adds")
        return self.mult_adds(architecture)

    def draw_within_limit(
        self, draw: Callable[[], Architecture], decode: Callable[[Architecture], Any]
    ) -> Architecture:
        """Draw until the limits are met: rejection keeps the distribution of the draws within them.

        Args:
            draw: draws one architecture, in any form.
            decode: turns a drawn one into what `mult_adds` counts.

        Raises:
            UserError: none of `MAX_DRAWS` draws is within the limits.
        """
        for _ in range(MAX_DRAWS):
            drawn = draw()
            if self.fits(decode(drawn)):
                return drawn
        limits = " and ".join(map(str, self.limits))
        raise UserError(f"none of {MAX_DRAWS:,} draws keeps within {limits}; allow more")
