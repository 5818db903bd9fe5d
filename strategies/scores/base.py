"""What a score of an untrained network is; importing it imports neither torch nor NNI."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from search_spaces.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    Batch = tuple[Tensor, Tensor]
    """Images float [B, 3, H, W] and labels int64 [B]."""
    Measure = Callable[[nn.Module, Sequence[Batch]], float]
    """Maps a network, which it may change, and batches to a number that is larger for better networks."""


class Sees(Enum):
    """What a score can learn from; the value is its wording."""

    NOTHING = "nothing"
    IMAGES = "images"
    LABELS = "images and labels"


@dataclass(frozen=True)
class Score:
    """A score of an untrained network; a larger one promises a better network.

    Attributes:
        name: name, as in `score:by=NAME`.
        location: the function that computes it, a `Measure`, as `module:function`.
        summary: what the score measures, in one line, with its source.
        sees: what the score sees of the data; the function gets no more.
        backpropagates: whether images are backpropagated, which costs three times a forward pass.
    """

    name: str
    location: str
    summary: str
    sees: Sees
    backpropagates: bool = False

    def __call__(self, network: nn.Module, batches: Sequence[Batch]) -> float:
        """Score a network, which stays as it is.

        Args:
            network: the untrained network: [B, 3, H, W] -> logits [B, classes].
            batches: batches of the set that is searched on. A score that sees nothing gets zeros of their
                shape; one that sees images alone gets labels that are all 0.

        Returns:
            The score; -inf where it is not finite, so that such a network is never chosen.
        """
        module, _, function = self.location.partition(":")
        measure: Measure = getattr(importlib.import_module(module), function)
        value = float(measure(copy.deepcopy(network), [self._visible(*batch) for batch in batches]))
        return value if abs(value) < float("inf") else float("-inf")

    def _visible(self, images: Tensor, labels: Tensor) -> Batch:
        if self.sees is not Sees.LABELS:
            labels = labels.new_zeros(labels.shape)
        if self.sees is Sees.NOTHING:
            images = images.new_zeros(images.shape)
        return images, labels


SCORES: dict[str, Score] = {}
"""The registered scores by name."""


def register(
    name: str, location: str, summary: str, sees: Sees = Sees.NOTHING, backpropagates: bool = False
) -> None:
    """Make a score known by a name; the arguments are the attributes of `Score`."""
    assert name not in SCORES, f"there are two scores named {name!r}"
    SCORES[name] = Score(name, location, summary, sees, backpropagates)


def find(names: str) -> tuple[Score, ...]:
    """The scores that `names` lists, as in `nwot` or `nwot+params`.

    Raises:
        UserError: there is no such score.
    """
    for name in names.split("+"):
        if name not in SCORES:
            raise unknown("score", name, list(SCORES))
    return tuple(SCORES[name] for name in names.split("+"))
