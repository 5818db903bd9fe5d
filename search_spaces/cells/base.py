"""Base of the search-time cells of DARTS, which NNI's mutation hooks put in place of the space's cells."""

from __future__ import annotations

from search_spaces.geometry import CellGeometry
from search_spaces.model_space import SearchTimeCell
from search_spaces.operations import preprocess


class DartsSearchTimeCell(SearchTimeCell):
    """A search-time cell with the two preprocessing blocks of DARTS, affine-free."""

    geometry: CellGeometry

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        channels = geometry.channels
        self.preprocess0 = preprocess(
            geometry.before_previous, channels, geometry.follows_reduction, affine=False
        )
        self.preprocess1 = preprocess(geometry.previous, channels, follows_reduction=False, affine=False)
