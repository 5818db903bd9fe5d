"""Sizes of the final networks that a search is for, and the limits on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nastransfer_nni.data.sources import Source
from nastransfer_nni.latency.table import NANOSECONDS
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.training import protocols
from search_spaces import AbstractGenotype
from search_spaces.sizes import EdgeCosts, part_parameters
from strategies.interfaces import Limit


@dataclass(frozen=True)
class FinalSizes:
    """Sizes of the final networks that a search is for, as sums over their parts.

    Attributes:
        mult_adds: multiply-adds per image.
        params: number of parameters.
        latency: latency in nanoseconds; None: there is no table.
    """

    mult_adds: EdgeCosts
    params: EdgeCosts
    latency: EdgeCosts | None

    @classmethod
    def of(cls, config: SearchConfig, source: Source, img_size: int, classes: int) -> Self:
        """The sizes of the final networks of a search.

        Args:
            config: options of the search.
            source: image set of the search.
            img_size: height and width of its images in px.
            classes: number of classes of the proxy set.

        Raises:
            UserError: the table of latencies is of another network.
        """
        recipe = protocols.resolve(config.final_protocol or protocols.default_for(source), {})
        size = recipe.img_size or img_size
        classes = config.final_classes or classes
        setting = (recipe.width, recipe.layers, classes, recipe.stem_for(size), size)
        space, table = config.space, config.latency_table
        return cls(
            mult_adds=space.costs(*setting),
            params=space.costs(*setting, measure=part_parameters),
            latency=None if table is None else table.costs(space, *setting),
        )

    def limits(self, config: SearchConfig) -> tuple[Limit, ...]:
        """The limits of a search, besides that on multiply-adds."""
        found = []
        if config.max_params is not None:
            found.append(Limit("max_params", self.params, config.max_params, "parameters"))
        if config.max_latency is not None:
            assert self.latency is not None, "a limit on the latency comes with a table"
            most = int(config.max_latency * NANOSECONDS)
            found.append(Limit("max_latency", self.latency, most, "ms", scale=NANOSECONDS))
        return tuple(found)

    def of_architecture(self, genotype: AbstractGenotype) -> dict[str, float]:
        """The sizes of one final network, by name."""
        latency = {} if self.latency is None else {"latency_ms": self.latency(genotype) / NANOSECONDS}
        return {"mult_adds": self.mult_adds(genotype), "params": self.params(genotype), **latency}
