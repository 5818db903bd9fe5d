"""What every search ends with, whatever its strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

from search_spaces import Genotype


@dataclass(frozen=True)
class Member:
    """An architecture of a front: none of the search is both more accurate and cheaper.

    Attributes:
        architecture: a genotype, or what another space calls an architecture.
        score: top-1 in percent.
        mult_adds: of its final network.
    """

    architecture: Any
    score: float
    mult_adds: int


@dataclass
class SearchResult:
    """What a search has come to.

    Attributes:
        genotype: the architecture it stands at.
        score: top-1 in percent that the strategy saw for it: under shared weights, or of a short training.
            NaN where nothing was trained.
        training_images: images that were backpropagated, over all networks that were trained.
        seconds: time spent searching, over all processes that worked on it.
        epochs: epochs of the shared weights done; 0 where there are none.
        candidates: architectures scored one by one.
        front: accuracy against mult_adds, cheapest first, for a strategy that seeks both.
    """

    genotype: Genotype | None = None
    score: float = math.nan
    training_images: int = 0
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
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The result that `state_dict` has stored."""
        values = {**state, "genotype": Genotype.from_text(state["genotype"])}
        values["training_images"] = values.pop("samples")
        return cls(**values)
