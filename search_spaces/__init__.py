"""Search spaces by name, with their architectures, networks, sizes and published cells.

A space is one file and one line here. Spaces, `Genotype` and the names of operations are known at once,
`DartsSpace` and `DartsNetwork`, which need torch and NNI, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.base import AbstractGenotype, Space
from search_spaces.genotype import OPERATIONS, PARAMETER_FREE, Genotype
from search_spaces.registry import SPACES, parse, register

if TYPE_CHECKING:
    from search_spaces.network import DartsNetwork
    from search_spaces.space import DartsSpace

__all__ = [
    "OPERATIONS",
    "PARAMETER_FREE",
    "SPACES",
    "AbstractGenotype",
    "DartsNetwork",
    "DartsSpace",
    "Genotype",
    "Space",
    "parse",
    "register",
]

register(
    "darts", "search_spaces.darts:DartsCells", "the cells of DARTS, of any operations and number of nodes"
)
for _name, _summary in (
    ("S1", "two candidates on every edge, which differ from edge to edge (RobustDARTS)"),
    ("S2", "skips and separable convolutions (RobustDARTS)"),
    ("S3", "none, skips and separable convolutions (RobustDARTS)"),
    ("S4", "separable convolutions and noise (RobustDARTS)"),
):
    register(f"darts-{_name.lower()}", f"search_spaces.robust_darts:{_name}", _summary)
register(
    "nas_bench_201", "search_spaces.nas_bench_201:NasBench201", "one cell of six edges with five operations"
)


def __getattr__(name: str) -> Any:
    if name == "DartsSpace":
        from search_spaces.space import DartsSpace

        return DartsSpace
    if name == "DartsNetwork":
        from search_spaces.network import DartsNetwork

        return DartsNetwork
    raise AttributeError(f"module 'search_spaces' has no attribute {name!r}")
