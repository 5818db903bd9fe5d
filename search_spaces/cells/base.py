"""Base of the search-time cells, which NNI's mutation hooks put in place of the space's cells."""

from __future__ import annotations

from typing import Any, Self

from torch import nn

from search_spaces.geometry import CellGeometry
from search_spaces.nni_api import BaseSuperNetModule
from search_spaces.operations import preprocess
from search_spaces.space import SpaceCell


class SearchTimeCell(BaseSuperNetModule):  # type: ignore[misc]
    """A cell as a search computes it: the two preprocessing blocks, affine-free, and NNI's interface.

    The strategy sets what a cell computes, and exports the genotype.

    Attributes:
        geometry: position of the cell in the network.
    """

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__()
        self.geometry = geometry
        channels = geometry.channels
        self.preprocess0 = preprocess(
            geometry.before_previous, channels, geometry.follows_reduction, affine=False
        )
        self.preprocess1 = preprocess(geometry.previous, channels, follows_reduction=False, affine=False)

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], options: dict[str, Any]
    ) -> Self | None:
        """NNI's mutation hook: this search-time cell for a cell of the space; None for other modules."""
        return cls(module.geometry) if isinstance(module, SpaceCell) else None

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no choices: the strategy samples."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no choices: the strategy exports the genotype."""
        return {}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no probabilities: the strategy reports the mixture."""
        return {}
