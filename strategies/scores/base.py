"""What a score of an untrained network is, and the registry of scores by name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from torch import Tensor, nn

from search_spaces.errors import unknown

Batch = tuple[Tensor, Tensor]
"""Images float [B, 3, H, W] and labels int64 [B]."""
Measure = Callable[[nn.Module, Sequence[Batch]], float]
"""Maps a network, which it may change, and batches to a number that is larger for better networks."""


class Sees(Enum):
    """What a score can learn from: the value is its wording."""

    NOTHING = "nothing"
    IMAGES = "images"
    LABELS = "images and labels"


@dataclass(frozen=True)
class Score:
    """A score of an untrained network; a larger one promises a better network.

    Attributes:
        name: name, as in `score:by=NAME`.
        summary: what the score measures, in one line, with its source.
        sees: what the score sees of the data; `measure` gets no more.
        backpropagates: whether the images are backpropagated, which costs three times a forward pass.
        measure: computes the score.
    """

    name: str
    summary: str
    sees: Sees
    backpropagates: bool
    measure: Measure

    def __call__(self, network: nn.Module, batches: Sequence[Batch]) -> float:
        """Score a network, which stays as it is.

        Args:
            network: the untrained network: [B, 3, H, W] -> logits [B, classes].
            batches: batches of the set that is searched on. A score that sees nothing gets zeros of their
                shape; one that sees images alone gets labels that are all 0.

        Returns:
            The score; -inf where it is not finite, so that such a network is never chosen.
        """
        value = float(self.measure(copy.deepcopy(network), [self._visible(*batch) for batch in batches]))
        return value if abs(value) < float("inf") else float("-inf")

    def _visible(self, images: Tensor, labels: Tensor) -> Batch:
        if self.sees is Sees.LABELS:
            return images, labels
        return images if self.sees is Sees.IMAGES else images.new_zeros(images.shape), labels.new_zeros(
            labels.shape
        )


SCORES: dict[str, Score] = {}
"""The registered scores by name."""


def score(name: str, summary: str, sees: Sees, backpropagates: bool = False) -> Callable[[Measure], Measure]:
    """Register a measure as the score `name`; the arguments are the attributes of `Score`."""

    def register(measure: Measure) -> Measure:
        assert name not in SCORES, f"there are two scores named {name!r}"
        SCORES[name] = Score(name, summary, sees, backpropagates, measure)
        return measure

    return register


def find(name: str) -> Score:
    """The score of a name.

    Raises:
        UserError: there is no such score.
    """
    if name not in SCORES:
        raise unknown("score", name, list(SCORES))
    return SCORES[name]
