"""Which edges of a search-time cell are computed together, for `search_spaces.cells.batched`."""

from __future__ import annotations

import functools
from typing import NamedTuple

from search_spaces.cells.compiled.layout import CANDIDATE_OF_MAP, FIRST, MAX, MEAN, OUTGOING, SECOND, SKIP
from search_spaces.genotype import CANDIDATES

WAVES = ((0, 1), (2,), (3,), (4,))
"""The states whose outgoing edges are computed together: a node is complete after the wave before its own."""


class Unit(NamedTuple):
    """A map of an edge of a wave.

    Attributes:
        map: number of the map, as in `compiled.layout`.
        position: position of the edge's state in the wave.
        node: the node that the edge enters.
        edge: row of the edge in the weights.
    """

    map: int
    position: int
    node: int
    edge: int

    @property
    def taken(self) -> int:
        """Position of its weight in the flattened weights."""
        return self.edge * len(CANDIDATES) + CANDIDATE_OF_MAP[self.map]


BLOCKS = {"first": FIRST, "last": (*SECOND, 4, 5), "max": (MAX,), "mean": (MEAN,), "skip": (SKIP,)}
"""Maps that go through BatchNorm together; a skip only where it has stride 2, and convolutions."""

POOLS = {"max": MAX, "mean": MEAN}

Key = tuple[int, str]
"""A wave and a block of it."""


def units_of(wave: int, index: int) -> list[Unit]:
    """A map of every edge of a wave, state by state, then by node."""
    return [
        Unit(index, position, *outgoing)
        for position, state in enumerate(WAVES[wave])
        for outgoing in OUTGOING[state]
    ]


class Taken(NamedTuple):
    """Which weights of the candidates are used, and how.

    Attributes:
        indices: positions in the flattened weights: first those of the scales, then those of the matrices.
        factors: 0 for a candidate that is not computed, else 1.
        scales: number of scales of each block.
        matrices: by wave, the maps that a matrix adds up to nodes.
    """

    indices: tuple[int, ...]
    factors: tuple[float, ...]
    scales: dict[Key, int]
    matrices: dict[int, tuple[int, ...]]


class Plan:
    """What a cell computes together, and where its layers lie in the stacked tensors.

    Args:
        stride: stride of the edges that leave the inputs.
        computed: whether each candidate of each edge is computed, [14][8]; None: all.

    Attributes:
        units: the computed maps of each block.
        stacks: layers whose weights are stacked, by name: (edge, map, which of its two convolutions) each.
        starts: first row of each block in the statistics of the batch.
        rows: number of rows in the statistics of the batch.
        followers: (edge, map, row) of the BatchNorms, whose running statistics follow those of a batch.
    """

    def __init__(self, stride: int, computed: tuple[tuple[bool, ...], ...] | None) -> None:
        self._stride, self._computed = stride, computed
        self.units: dict[Key, list[Unit]] = {}
        self.stacks: dict[tuple[int, str, int], list[tuple[int, int, int]]] = {}
        self.starts: dict[Key, int] = {}
        self.rows = 0
        self.followers: list[tuple[int, int, int]] = []
        for wave in range(len(WAVES)):
            for block, maps in BLOCKS.items():
                units = [unit for index in maps for unit in units_of(wave, index) if self.computes(unit)]
                if block == "skip" and self.stride(wave) == 1:
                    units = []
                self.units[wave, block] = units
                if block in POOLS:
                    self._add_pool(wave, block)
                else:
                    self._add_convolutions(wave, block)

    def stride(self, wave: int) -> int:
        """Stride of the edges of a wave."""
        return self._stride if wave == 0 else 1

    def computes(self, unit: Unit) -> bool:
        """Whether a map is computed."""
        return self._computed is None or self._computed[unit.edge][CANDIDATE_OF_MAP[unit.map]]

    def is_whole(self, wave: int, units: list[Unit]) -> bool:
        """Whether each of the maps is there for every edge of the wave."""
        return len(units) == len({unit.map for unit in units}) * len(units_of(wave, 0))

    def _add_pool(self, wave: int, block: str) -> None:
        units = self.units[wave, block]
        self.starts[wave, block] = self.rows
        self.followers += [(unit.edge, unit.map, self.rows + unit.position) for unit in units]
        self.rows += len(WAVES[wave]) if units else 0

    def _add_convolutions(self, wave: int, block: str) -> None:
        units = self.units[wave, block]
        self.starts[wave, block] = self.rows
        self.followers += [(unit.edge, unit.map, row) for row, unit in enumerate(units, self.rows)]
        self.rows += len(units)
        for unit in units:
            depthwise = "half 0" if block == "skip" else "depthwise"
            pointwise = "half 1" if block == "skip" else block
            self.stacks.setdefault((wave, depthwise, unit.map), []).append((unit.edge, unit.map, 0))
            self.stacks.setdefault((wave, pointwise, -1), []).append((unit.edge, unit.map, 1))

    @functools.cache  # noqa: B019 - plans are never thrown away
    def taken(self, is_training: bool, has_masks: bool) -> Taken:
        """Which weights of the candidates scale BatchNorms, and which are in the matrix of each wave.

        Args:
            is_training: whether poolings go through the matrix, as their BatchNorms have the same statistics.
            has_masks: whether identity skips have factors of their own, and do not.
        """
        is_scaled = {"last", "skip"} if is_training else {"last", "skip", *POOLS}
        scaled = {key: units for key, units in self.units.items() if units and key[1] in is_scaled}
        indices = [unit.taken for units in scaled.values() for unit in units]
        factors = [1.0] * len(indices)
        matrices = {}
        for wave in range(len(WAVES)):
            maps = [index for block, index in POOLS.items() if is_training and self.units[wave, block]]
            if self.stride(wave) == 1 and not has_masks:
                maps.append(SKIP)
            entries = [unit for index in maps for unit in units_of(wave, index)]
            entries.sort(key=lambda unit: (unit.node, unit.position))
            if any(map(self.computes, entries)):
                matrices[wave] = tuple(maps)
                indices += [unit.taken for unit in entries]
                factors += [float(self.computes(unit)) for unit in entries]
        scales = {key: len(units) for key, units in scaled.items()}
        return Taken(tuple(indices), tuple(factors), scales, matrices)


plan_of = functools.lru_cache(maxsize=256)(Plan)
"""The plan for a stride and the candidates that are computed."""
