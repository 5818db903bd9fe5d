"""The names of cheap evaluations: scores of untrained networks, shared weights, and short trainings.

This module imports nothing heavy, so that a command can check a name before it loads anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import UserError, unknown
from strategies.scores import SCORES

ALL_SCORES = "scores"
"""Name that stands for every registered score."""
KINDS = ("supernet", "train")

_TRAINED = re.compile(r"(\w+):(\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Evaluation:
    """A cheap evaluation of cells.

    Attributes:
        name: name as in `--by`.
        kind: `score` of an untrained network; `supernet`: accuracy under weights that all cells share;
            `train`: accuracy of the cell's own network.
        epochs: epochs that the weights are trained for; 0 for scores.
    """

    name: str
    kind: Literal["score", "supernet", "train"]
    epochs: int = 0

    @property
    def sees(self) -> str:
        """What it can learn from the images, in words."""
        return SCORES[self.name].sees.value if self.kind == "score" else "images and labels"


def parse(text: str) -> tuple[Evaluation, ...]:
    """The evaluations that `text` lists, as in `nwot+params+supernet:10+train:1`.

    Raises:
        UserError: an evaluation is unknown, or listed twice.
    """
    found: list[Evaluation] = []
    for word in (word.strip() for word in text.split("+")):
        found += [Evaluation(name, "score") for name in SCORES] if word == ALL_SCORES else [_single(word)]
    names = [each.name for each in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{repeated} is listed twice")
    return tuple(found)


def _single(word: str) -> Evaluation:
    if word in SCORES:
        return Evaluation(word, "score")
    match = _TRAINED.fullmatch(word)
    if match and match[1] in KINDS and int(match[2]):
        kind: Literal["supernet", "train"] = "supernet" if match[1] == "supernet" else "train"
        return Evaluation(f"{kind}:{int(match[2])}", kind, int(match[2]))
    if word.partition(":")[0] in KINDS:
        raise UserError(f"{word!r} needs its number of epochs, as in {word.partition(':')[0]}:5")
    raise unknown("evaluation", word, [ALL_SCORES, *SCORES, "supernet:EPOCHS", "train:EPOCHS"])
