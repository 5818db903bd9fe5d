"""Search spaces whose cells published tables list: how a cell is written, and how large its network is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces import AbstractGenotype, Genotype, Space
from search_spaces.darts import DartsCells
from search_spaces.errors import UserError
from search_spaces.nas_bench_201 import NasBench201
from search_spaces.nas_bench_201.genotype import COUNT


@dataclass(frozen=True)
class TableSpace:
    """A space whose cells a table lists.

    Attributes:
        space: the space.
        network: width, layers, number of classes, stem and size of the images in px of the table's networks.
        count: number of its cells, where a table can have all of them, so that strategies can search it by
            looking cells up; else 0.
    """

    space: Space
    network: tuple[int, int, int, str, int]
    count: int = 0

    def check(self, cell: str) -> str:
        """The cell as the literature prints it, from that or from JSON.

        Raises:
            UserError: it is no cell of this space.
        """
        try:
            found = self.space.from_dict(json.loads(cell)) if cell[:1] == "{" else self.space.from_text(cell)
        except json.JSONDecodeError as error:
            raise UserError(f"not JSON: {error.msg}") from None
        return str(found)

    def cell(self, sample: Mapping[str, Any]) -> str:
        """The cell of an NNI sample."""
        return str(self.space.from_sample(sample))

    def mult_adds(self, cell: str) -> int:
        """Multiply-adds of the cell's network, per image."""
        return self._costs(self.space.from_text(cell))

    def sizes(self, cell: str) -> dict[str, float]:
        """Parameters and multiply-adds of the cell's network, `params` and `mult_adds`, where known."""
        genotype = self.space.from_text(cell)
        found = {"mult_adds": float(self._costs(genotype))}
        if isinstance(genotype, Genotype):
            found["params"] = _parameters(genotype, *self.network[:4])
        return found

    @cached_property
    def _costs(self) -> Callable[[AbstractGenotype], int]:
        return self.space.costs(*self.network)


def _parameters(genotype: Genotype, *network: Any) -> float:
    """Parameters of the network of a DARTS cell, without an auxiliary head."""
    import torch  # takes seconds

    from search_spaces.network import DartsNetwork
    from search_spaces.sizes import parameters

    with torch.device("meta"):
        return float(parameters(DartsNetwork(genotype, *network)))


SPACES = {
    known.space.name: known
    for known in (
        TableSpace(DartsCells(), (36, 20, 10, "cifar", 32)),
        TableSpace(NasBench201(), (16, 17, 10, "cifar", 32), COUNT),
    )
}
"""The spaces by name."""
