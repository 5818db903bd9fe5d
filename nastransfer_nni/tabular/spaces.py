"""Search spaces whose cells published tables list: how a cell is written, and how large its network is."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError, unknown
from search_spaces.genotype import Genotype

if TYPE_CHECKING:
    from search_spaces.sizes import CellCosts


class TableSpace(ABC):
    """A space whose cells a table lists.

    Attributes:
        count: number of cells of the space that strategies can search by looking them up; None where the
            space has more than a table can hold.
    """

    count: int | None = None

    @abstractmethod
    def check(self, cell: str) -> str:
        """The cell in its one way of writing.

        Raises:
            UserError: it is no cell of this space.
        """

    @abstractmethod
    def sizes(self, cell: str) -> dict[str, float]:
        """Parameters and multiply-adds of the cell's network: `params` and `mult_adds`."""

    def cell(self, sample: Mapping[str, Any]) -> str:
        """The cell of an NNI sample."""
        raise NotImplementedError

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The choices of an NNI sample by label."""
        raise NotImplementedError


class NasBench201(TableSpace):
    """The cell of NAS-Bench-201 (Dong and Yang, ICLR 2020): an operation on each of six edges."""

    count = 15_625
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    nodes = (1, 2, 3)
    cells, channels, pixels = 5, (16, 32, 64), (32, 16, 8)  # of a stage, and the stages

    def check(self, cell: str) -> str:
        """The cell, as in `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...`."""
        found = re.findall(r"([^|~+]+)~(\d)", cell)
        for name, _ in found:
            if name not in self.operations:
                raise unknown("operation", name, self.operations)
        wanted = [str(state) for node in self.nodes for state in range(node)]
        if [state for _, state in found] != wanted or cell != self._text([name for name, _ in found]):
            raise UserError("not a cell of nas-bench-201, such as |none~0|+|none~0|none~1|+|none~0|...")
        return cell

    def sizes(self, cell: str) -> dict[str, float]:
        """Weights and multiply-adds of the convolutions inside the cells, which the choice decides."""
        weights = cell.count("nor_conv_1x1") + 9 * cell.count("nor_conv_3x3")
        squares = [channels**2 for channels in self.channels]
        areas = [square * pixels**2 for square, pixels in zip(squares, self.pixels, strict=True)]
        return {
            "params": float(self.cells * sum(squares) * weights),
            "mult_adds": float(self.cells * sum(areas) * weights),
        }

    def cell(self, sample: Mapping[str, Any]) -> str:
        """The cell of an NNI sample of `choices`."""
        return self._text([sample[label] for label in self.choices])

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The operations of every edge by label."""
        return {f"op_{node}_{state}": self.operations for node in self.nodes for state in range(node)}

    def _text(self, operations: list[str]) -> str:
        left = iter(operations)
        return "+".join(
            "|" + "|".join(f"{next(left, '')}~{state}" for state in range(node)) + "|" for node in self.nodes
        )


class Darts(TableSpace):
    """The cells of DARTS, as genotypes in JSON or in the form `Genotype(...)`."""

    width, layers, num_classes, img_size = 36, 20, 10, 32  # of the network that `darts-cifar` trains

    def check(self, cell: str) -> str:
        """The genotype as JSON."""
        try:
            found = Genotype.from_text(cell) if "Genotype(" in cell else Genotype.from_dict(json.loads(cell))
        except json.JSONDecodeError:
            raise UserError("not a genotype, in JSON or as Genotype(...)") from None
        return json.dumps(found.to_dict(), sort_keys=True)

    def sizes(self, cell: str) -> dict[str, float]:
        """Sizes of the network that `darts-cifar` trains, without its auxiliary head."""
        import torch  # takes seconds to import

        from search_spaces.network import DartsNetwork
        from search_spaces.sizes import parameters

        genotype = Genotype.from_dict(json.loads(cell))
        with torch.device("meta"):
            network = DartsNetwork(genotype, self.width, self.layers, self.num_classes, "cifar")
        return {"params": float(parameters(network)), "mult_adds": float(self._mult_adds(genotype))}

    @cached_property
    def _mult_adds(self) -> CellCosts:
        from search_spaces.sizes import CellCosts  # imports torch, which takes seconds

        return CellCosts(self.width, self.layers, self.num_classes, "cifar", self.img_size)


SPACES: dict[str, TableSpace] = {"nas-bench-201": NasBench201(), "darts": Darts()}
"""The spaces by name."""
