"""The cell space of DARTS: its genotypes, networks, sizes and published cells.

`Genotype` and the names of operations are imported at once, `DartsSpace` and `DartsNetwork`, which need torch
and NNI, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.genotype import OPERATIONS, PARAMETER_FREE, Genotype

if TYPE_CHECKING:
    from search_spaces.network import DartsNetwork
    from search_spaces.space import DartsSpace

__all__ = ["OPERATIONS", "PARAMETER_FREE", "DartsNetwork", "DartsSpace", "Genotype"]


def __getattr__(name: str) -> Any:
    if name == "DartsSpace":
        from search_spaces.space import DartsSpace

        return DartsSpace
    if name == "DartsNetwork":
        from search_spaces.network import DartsNetwork

        return DartsNetwork
    raise AttributeError(f"module 'search_spaces' has no attribute {name!r}")
