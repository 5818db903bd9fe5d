"""What all search-time cells are to NNI: modules that a mutation hook puts in place of the space's cells."""

from __future__ import annotations

from typing import Any, Self

from torch import nn

from search_spaces.geometry import CellGeometry
from search_spaces.nni_api import BaseSuperNetModule
from search_spaces.operations import preprocess
from search_spaces.space import SpaceCell


class SearchTimeCell(BaseSuperNetModule):  # type: ignore[misc]
    """Base of the search-time cells: the two preprocessing blocks, affine-free, and NNI's side.

    What a cell computes is set by the strategy, which also knows what to export.

    Attributes:
        geometry: the cell's place in the network.
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
        """NNI's mutation hook: the search-time cell in place of a cell of the space."""
        return cls(module.geometry) if isinstance(module, SpaceCell) else None

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Nothing to draw: the strategy does."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Nothing to export: the strategy knows the genotype."""
        return {}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Nothing to export: the strategy knows the probabilities."""
        return {}
