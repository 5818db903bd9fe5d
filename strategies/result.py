"""The result of every search, whatever its strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

from search_spaces import AbstractGenotype, Space


@dataclass(frozen=True)
class Member:
    """An architecture of a Pareto front: no other of the search is both more accurate and cheaper.

    Attributes:
        architecture: a genotype, or the architecture of another space.
        score: top-1 in percent.
        mult_adds: multiply-adds of its final network, per image.
    """

    architecture: Any
    score: float
    mult_adds: int


@dataclass
class SearchResult:
    """The result of a search so far.

    Attributes:
        genotype: the architecture found; None before the first.
        score: top-1 in percent that the strategy measured for it: under shared weights, or after a short
            training. NaN where nothing was trained.
        training_images: number of images backpropagated, over all networks and processes.
        forward_images: number of images that passed without a gradient, over all networks and processes.
        seconds: time spent searching, over all processes that worked on it.
        epochs: number of finished epochs of the shared weights; 0 where there are none.
        candidates: number of architectures scored one by one.
        front: Pareto front of accuracy against multiply-adds, cheapest first; empty unless the strategy seeks
            both.
    """

    genotype: AbstractGenotype | None = None
    score: float = math.nan
    training_images: int = 0
    forward_images: int = 0
    seconds: float = 0.0
    epochs: int = 0
    candidates: int = 0
    front: list[Member] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """The result of a search on shared weights as a checkpoint stores it: plain values."""
        state = {**vars(self), "genotype": str(self.genotype)}
        state["samples"] = state.pop("training_images")
        return state

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], space: Space) -> Self:
        """The result that `state_dict` has stored, of a search in `space`."""
        values = {**state, "genotype": space.from_text(state["genotype"])}
        values["training_images"] = values.pop("samples")
        return cls(**values)
