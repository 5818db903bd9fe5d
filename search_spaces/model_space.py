"""What the NNI model spaces and search-time cells of every search space have in common."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from search_spaces.base import AbstractGenotype, Space
from search_spaces.nni_api import BaseSuperNetModule, ModelSpace

Computed = list[list[bool]]
"""Whether each candidate of each edge is computed, [edges][candidates]; one that is not has the weight 0."""


class SearchedCell:
    """Marks a cell of a model space in whose place strategies put a search-time cell.

    Attributes:
        geometry: position of the cell in the network; its `kind` is one of the space's.
    """

    geometry: Any


class CellSpace(ModelSpace):  # type: ignore[misc]
    """Base of the NNI model spaces of search spaces.

    Attributes:
        space: the search space.
        options: width, layers, num_classes, stem and auxiliary, with which the space makes it again.
        stem: the layers before the first cell.
        cells: the cells that are searched, from the first to the last, and no other module.
    """

    space: Space
    options: dict[str, Any]
    stem: nn.Module
    cells: nn.ModuleList


class ChoosingCell(Protocol):
    """A search-time cell that computes one architecture."""

    def choose(self, genotype: AbstractGenotype) -> None:
        """Set the architecture that the cell computes from now on."""


class SearchTimeCell(BaseSuperNetModule):  # type: ignore[misc]
    """A cell as a search computes it, with NNI's interface of supernets.

    The strategy sets what a cell computes, and exports the genotype. A cell that adds up candidates by weight
    has the attributes from `weights` on; one that computes one architecture is a `ChoosingCell`.

    Attributes:
        geometry: position of the cell in the network.
        weights: weights of the candidates [edges, candidates]; set before every forward pass.
        computed: which candidates are computed; None: all.
        skip_dropout: probability with which training sets an element of an identity skip to 0.
        drop_path: probability with which training sets the output of an edge to 0, image by image.
        generator: random generator of the dropout; needed with one.
    """

    weights: Tensor
    computed: Computed | None = None
    skip_dropout = 0.0
    drop_path = 0.0
    generator: torch.Generator | None = None

    def __init__(self, geometry: Any) -> None:
        super().__init__()
        self.geometry = geometry

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no choices: the strategy samples."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no choices: the strategy exports the genotype."""
        return {}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return no probabilities: the strategy reports the mixture."""
        return {}

    @classmethod
    def mutate(
        cls, module: nn.Module, name: str, memo: dict[str, Any], options: dict[str, Any]
    ) -> SearchTimeCell | None:
        """NNI's mutation hook: this search-time cell for a searched cell; None for other modules."""
        return cls(module.geometry) if isinstance(module, SearchedCell) else None
