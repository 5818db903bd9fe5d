"""S1 to S4: reduced spaces of DARTS in which its search collapses (Zela et al., ICLR 2020, section 3).

Their candidates are those of the authors' code, github.com/automl/RobustDARTS, src/spaces.py, lines 6 to 78.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from search_spaces.darts import OPERATIONS_HELP, DartsCells, Operations
from search_spaces.errors import UserError
from search_spaces.genotype import NODES

_SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _pairs(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_SHORT[name] for name in pair.split("+")) for pair in text.split())


S1_PAIRS = {
    "normal": _pairs(
        "skip+dil3 skip+dil5 skip+dil5 skip+sep3 skip+dil3 max+skip skip+sep3 skip+sep3 skip+dil3 "
        "skip+sep3 max+skip skip+dil3 dil3+dil5 dil3+dil5"
    ),
    "reduce": _pairs(
        "max+avg max+dil3 max+avg max+avg skip+dil5 max+avg max+sep3 skip+dil3 skip+dil5 max+avg max+avg "
        "skip+dil5 skip+dil5 skip+dil5"
    ),
}
"""The two candidates of every edge of S1 (the same file, lines 6 to 61)."""


class S1(DartsCells):
    """Two candidates on every edge: those that a search with all of them valued most."""

    name: ClassVar[str] = "darts-s1"

    operations: Operations = Field(tuple(_SHORT.values()), description="candidates; they cannot be changed")
    nodes: int = Field(NODES, description="number of nodes of a cell; it cannot be changed")

    @model_validator(mode="after")
    def _is_as_published(self) -> Self:
        if self.nodes != NODES or set(self.operations) != set(_SHORT.values()):
            raise UserError("the candidates of every edge are fixed, and so is the number of nodes")
        return self

    def operations_of(self, kind: str, edge: int) -> tuple[str, ...]:
        """The two candidates of an edge, counted node by node, then by state."""
        return S1_PAIRS[kind][edge]


class S2(DartsCells):
    """Skips and separable convolutions (the same file, lines 63 to 66)."""

    name: ClassVar[str] = "darts-s2"

    operations: Operations = Field(("skip_connect", "sep_conv_3x3"), description=OPERATIONS_HELP)


class S3(DartsCells):
    """`none`, skips and separable convolutions (the same file, lines 68 to 73)."""

    name: ClassVar[str] = "darts-s3"

    operations: Operations = Field(("none", "skip_connect", "sep_conv_3x3"), description=OPERATIONS_HELP)


class S4(DartsCells):
    """Separable convolutions and noise, which nothing can learn from (the same file, lines 75 to 78)."""

    name: ClassVar[str] = "darts-s4"

    operations: Operations = Field(("sep_conv_3x3", "noise"), description=OPERATIONS_HELP)
