"""What lies where: the states, edges and maps of a search-time cell, and their addresses for the loops.

All maps lie in memory with their channels last, [B, H, W, C].
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from search_spaces.cells.compiled.kernels import Term, pixel_stride
from search_spaces.genotype import CONCAT, EDGES, INPUTS
from search_spaces.operations import FactorizedReduce, pixels_by_parity


class Outgoing(NamedTuple):
    """An edge that leaves a state: the node that it leads to, and its row in the weights."""

    node: int
    edge: int


OUTGOING = [
    [Outgoing(node, sum(range(INPUTS, node)) + state) for node in CONCAT if node > state]
    for state in range(CONCAT[-1])
]
"""The edges that leave each state which has any."""

KERNELS = ((3, 1), (5, 1), (3, 1), (5, 1), (3, 2), (5, 2))
"""Kernel and dilation of an edge's convolutions: both sep_convs' first, both their second, both dil_convs."""

ON_STATE, FIRST, SECOND = (0, 1, 4, 5), (0, 1), (2, 3)
"""The convolutions that read the state; those that the second of a sep_conv read; these."""

MAX, MEAN, SKIP = range(len(KERNELS), len(KERNELS) + 3)
MAPS = SKIP + 1
"""After the convolutions, an edge's maps are both poolings and the skip. All but `FIRST` go into a node."""

COLUMNS = (4, 5, 6, 7, 1, 2, 3)
"""Columns of the weights for the maps that go into a node."""

INTO_NODE = slice(len(FIRST), MAPS)


class Layers(NamedTuple):
    """The layers of an edge that have parameters or running statistics.

    Attributes:
        convolutions: depthwise and pointwise convolutions, in the order of `KERNELS`.
        norms: BatchNorm of every map, in the order of the maps; an identity has none.
        skip_convs: the two 1x1 convolutions of a skip of stride 2; empty for an identity.
    """

    convolutions: list[tuple[nn.Conv2d, nn.Conv2d]]
    norms: list[nn.BatchNorm2d]
    skip_convs: list[nn.Conv2d]

    @classmethod
    def of(cls, most: Any, mean: Any, skip: Any, sep3: Any, sep5: Any, dil3: Any, dil5: Any) -> Layers:
        """From an edge's candidates."""
        parts = [sep3[:4], sep5[:4], sep3[4:], sep5[4:], dil3, dil5]
        norms, skip_convs = [part[3] for part in parts] + [most[1], mean[1]], []
        if isinstance(skip, FactorizedReduce):
            norms, skip_convs = [*norms, skip.bn], [skip.conv1, skip.conv2]
        return cls([(part[1], part[2]) for part in parts], norms, skip_convs)


Computed = list[list[bool]]
"""Whether each candidate of each edge is computed, [14][8]; one that is not has the weight 0."""

CANDIDATE_OF_MAP = (4, 5, 4, 5, 6, 7, 1, 2, 3)
"""Columns of the weights that the maps of an edge belong to."""


class Static(NamedTuple):
    """The arguments of a cell that need no gradient.

    Attributes:
        stride: stride of the edges that leave the inputs.
        norms: BatchNorm of the maps, edge by edge.
        training: whether BatchNorm uses the statistics of the batch.
        recompute: whether only the inputs are kept for the backward pass.
        computed: which candidates are computed; None: all.
        masks: factors of the identity skips of every edge, [B, H, W, C]; None: 1.
    """

    stride: int
    norms: list[list[nn.BatchNorm2d]]
    training: bool
    recompute: bool
    computed: Computed | None = None
    masks: list[Tensor | None] | None = None

    def computes(self, edge: int, index: int) -> bool:
        """Whether a map of an edge is computed."""
        return self.computed is None or self.computed[edge][CANDIDATE_OF_MAP[index]]

    def into_node(self, edge: int) -> list[int]:
        """The maps of an edge that go into its node, counted from the first of them."""
        every = range(len(COLUMNS))
        if self.computed is None:
            return list(every)
        return [index for index in every if self.computes(edge, index + len(FIRST))]


class Maps(NamedTuple):
    """The maps that a state's outgoing edges compute from it.

    Attributes:
        convolutions: outputs of the convolutions before BatchNorm, [edges, 6, B, H', W', C].
        pools: maximum and mean before BatchNorm, [2, B, H', W', C].
        norm: scale and shift of BatchNorm, float64 [edges, 9, 2, C].
        skips: outputs of skips of stride 2 before BatchNorm, or of those of stride 1 times their masks,
            [edges, B, H', W', C]; None: the state itself.
    """

    convolutions: Tensor
    pools: Tensor
    norm: Tensor
    skips: Tensor | None

    def into_nodes(self, x: Tensor, coefficients: Tensor, nodes: list[Tensor]) -> list[list[Term]]:
        """The maps that the state's edges add to their nodes, edge by edge in the order of `COLUMNS`.

        Args:
            x: the state.
            coefficients: scales and shifts [edges, 7, 2, C], which must outlive the terms.
            nodes: what the terms are added to or multiplied by, one for each edge.
        """
        convolutions, pools = addresses(self.convolutions, 2), addresses(self.pools)
        skips = [x] * len(nodes) if self.skips is None else list(self.skips)
        channels, pixel, skip_pixel = x.shape[3], pixel_stride(nodes[0]), pixel_stride(skips[0])
        terms = []
        for maps, rows, skip, node in zip(
            convolutions, addresses(coefficients, 3), skips, nodes, strict=True
        ):
            to = node.data_ptr()
            read = [*maps[len(FIRST) :], *pools]
            own = [Term(at, *row, channels, to, pixel) for at, row in zip(read, rows[:-1], strict=True)]
            terms.append([*own, Term(skip.data_ptr(), *rows[-1], skip_pixel, to, pixel)])
        return terms


class Arguments(NamedTuple):
    """The tensors that are a cell's arguments.

    Attributes:
        inputs: states 0 and 1, [B, H, W, C] each.
        weights: weights of the candidates, float64 [14, 8].
        convolutions: depthwise and pointwise weights, edge by edge.
        skip_convs: weights for even and odd pixels of the skips of stride 2, state by state, edge by edge.
    """

    inputs: tuple[Tensor, Tensor]
    weights: Tensor
    convolutions: list[Tensor]
    skip_convs: list[Tensor]

    @classmethod
    def of(cls, s0: Tensor, s1: Tensor, weights: Tensor, *learned: Tensor) -> Arguments:
        inputs = (s0.permute(0, 2, 3, 1).contiguous(), s1.permute(0, 2, 3, 1).contiguous())
        convolutions = [weight.contiguous() for weight in learned]
        count = 2 * len(KERNELS) * EDGES
        return cls(inputs, weights.double(), convolutions[:count], convolutions[count:])

    @property
    def channels(self) -> int:
        """The channels that the candidates process, the first of a state; all but in a partial cell."""
        return len(self.convolutions[0])

    def convolution(self, edge: int, index: int) -> tuple[int, int]:
        """Addresses of depthwise and pointwise weights."""
        start = 2 * (edge * len(KERNELS) + index)
        return self.convolutions[start].data_ptr(), self.convolutions[start + 1].data_ptr()

    def mixture(self, state: int) -> Tensor:
        """Weights of the maps that go into a node, [edges, 7]."""
        return self.weights[[edge for _, edge in OUTGOING[state]]][:, COLUMNS]

    def skip_weights(self, state: int, which: int) -> Tensor:
        """Weights of the state's skips for even (`which` 0) or odd (1) pixels: [edges, C', C]."""
        start = state * 2 * len(OUTGOING[0])
        return torch.stack(self.skip_convs[start + which : start + 2 * len(OUTGOING[0]) : 2]).flatten(2)


def addresses(x: Tensor, depth: int = 1) -> list[Any]:
    """Addresses of x[0], x[1], ...; of depth 2 lists of those of x[0, 0], x[0, 1], ... and so on."""
    offsets = _offsets(x.shape[:depth], x.stride()[:depth], x.element_size())
    found: list[Any] = (offsets + x.data_ptr()).tolist()
    return found


@functools.lru_cache(maxsize=1024)
def _offsets(sizes: tuple[int, ...], strides: tuple[int, ...], item: int) -> NDArray[np.int64]:
    """Bytes from a tensor's first element to those at every index of its first axes; few of them recur."""
    axes = [item * stride * np.arange(size) for size, stride in zip(sizes, strides, strict=True)]
    return functools.reduce(np.add, np.ix_(*axes))


def by_parity(x: Tensor) -> list[Tensor]:
    """Inputs of a skip of stride 2 from x [B, H, W, C]: even and odd pixels after ReLU [B, H', W', C]."""
    parts = pixels_by_parity(x.permute(0, 3, 1, 2))
    return [torch.relu(part.permute(0, 2, 3, 1).contiguous()) for part in parts]


def one(x: Tensor) -> Tensor:
    """Coefficients of 1 for the channels of x [B, H, W, C]: float64 [C]."""
    return torch.ones(x.shape[3], dtype=torch.float64)


def split(concatenation: Tensor) -> list[Tensor]:
    """The nodes in a cell's output [B, H, W, 4 * C]."""
    return list(concatenation.chunk(len(CONCAT), dim=3))


def term(x: Tensor, to: Tensor, scale: int | None = None, shift: int | None = None) -> Term:
    """`scale * x + shift` for x [B, H, W, C], which goes into the map `to`; both at their addresses."""
    return Term(x.data_ptr(), scale, shift, pixel_stride(x), to.data_ptr(), pixel_stride(to))
