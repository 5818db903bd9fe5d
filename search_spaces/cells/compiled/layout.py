"""Memory layout of a search-time cell: its states, edges and maps, and the addresses that the loops get.

All maps lie in memory with their channels last, [B, H, W, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from search_spaces.cells.compiled.kernels import Cell, State, Term, pixel_stride
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

FIRST, SECOND = (0, 1), (2, 3)
"""The convolutions of the sep_convs that read the state; those that read the output of these."""

MAX, MEAN, SKIP = range(len(KERNELS), len(KERNELS) + 3)
MAPS = SKIP + 1
"""After the convolutions, an edge's maps are both poolings and the skip. All but `FIRST` go into a node."""


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
    def of(
        cls, max_pool: Any, avg_pool: Any, skip: Any, sep3: Any, sep5: Any, dil3: Any, dil5: Any
    ) -> Layers:
        """From an edge's candidates."""
        parts = [sep3[:4], sep5[:4], sep3[4:], sep5[4:], dil3, dil5]
        norms, skip_convs = [part[3] for part in parts] + [max_pool[1], avg_pool[1]], []
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

    def table(self) -> NDArray[np.int64]:
        """Whether each map of each edge is computed, [14, 9]."""
        if self.computed is None:
            return np.ones((EDGES, MAPS), np.int64)
        return np.array(self.computed, np.int64)[:, CANDIDATE_OF_MAP]


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

    @classmethod
    def of(cls, x: Tensor, static: Static, arguments: Arguments, state: int) -> Maps:
        """Memory for the maps of a state [B, H, W, C], which the loops fill but for the skips."""
        edges, size = len(OUTGOING[state]), node_size(static, arguments)
        return cls(
            x.new_empty(edges, len(KERNELS), *size),
            x.new_empty(2, *size),
            x.new_zeros(edges, MAPS, 2, size[-1], dtype=torch.float64),
            _skips(x, static, arguments, state),
        )

    def state(self, x: Tensor) -> State:
        """Their addresses, with that of the state that they are computed from."""
        skips = x[None] if self.skips is None else self.skips
        return State(
            x.data_ptr(),
            pixel_stride(x),
            *(memory.data_ptr() for memory in (self.convolutions, self.pools, self.norm, skips)),
            pixel_stride(skips[0]),
            0 if self.skips is None else skips.stride(0),
        )


def _skips(x: Tensor, static: Static, arguments: Arguments, state: int) -> Tensor | None:
    """The skips of a state [B, H, W, C] that are not the state itself, [edges, B, H', W', C]."""
    if arguments.reduces(state):
        skips = by_parity(x).flatten(0, 2) @ arguments.skip_matrix(state)
        return skips.view(*node_size(static, arguments)[:3], len(OUTGOING[state]), -1).permute(3, 0, 1, 2, 4)
    if static.masks is None:
        return None
    masks = [static.masks[edge] for _, edge in OUTGOING[state]]
    return torch.stack([x if mask is None else x * mask for mask in masks])


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
    def of(cls, s0: Tensor, s1: Tensor, weights: Tensor, *convolutions: Tensor) -> Arguments:
        inputs = (s0.permute(0, 2, 3, 1).contiguous(), s1.permute(0, 2, 3, 1).contiguous())
        layers = [weight.contiguous() for weight in convolutions]
        count = 2 * len(KERNELS) * EDGES
        return cls(inputs, weights.double().contiguous(), layers[:count], layers[count:])

    @property
    def channels(self) -> int:
        """The channels that the candidates process, the first of a state; all but in a partial cell."""
        return len(self.convolutions[0])

    def reduces(self, state: int) -> bool:
        """Whether the skips of a state are convolutions of stride 2."""
        return bool(self.skip_convs) and state < INPUTS

    def skip_layers(self, state: int, which: int) -> list[Tensor]:
        """Weights of the state's skips for even (`which` 0) or odd (1) pixels, [C', C, 1, 1] each."""
        edges = len(OUTGOING[state])
        return self.skip_convs[2 * edges * state :][which : 2 * edges : 2]

    def skip_matrix(self, state: int) -> Tensor:
        """All skips of a state in one matrix, [2 * C, edges * C]; it multiplies what `by_parity` returns."""
        even, odd = (torch.stack(self.skip_layers(state, which)).flatten(2) for which in (0, 1))
        edges, half, channels = even.shape
        matrix = even.new_zeros(2, channels, edges, channels)
        matrix[0, ..., :half], matrix[1, ..., half:] = even.permute(2, 0, 1), odd.permute(2, 0, 1)
        return matrix.view(2 * channels, edges * channels)


def node_size(static: Static, arguments: Arguments) -> tuple[int, int, int, int]:
    """What the candidates compute of a node: B, H', W', C."""
    batch, height, width, _ = arguments.inputs[0].shape
    return batch, (height - 1) // static.stride + 1, (width - 1) // static.stride + 1, arguments.channels


def describe(
    static: Static, arguments: Arguments, *, updates: bool = False, weight_grads: Sequence[Tensor] = ()
) -> tuple[Cell, NDArray[np.int64]]:
    """The addresses of a cell but for its states, and the table of its edges, which must outlive it.

    Args:
        static: arguments of the cell that need no gradient.
        arguments: tensors that are the cell's arguments.
        updates: whether running statistics change.
        weight_grads: receive the gradients of the convolutions; empty: these are not wanted.
    """
    convolutions = np.zeros((EDGES, len(KERNELS), 4), np.int64)
    for columns, tensors in ((slice(2), arguments.convolutions), (slice(2, 4), weight_grads)):
        if tensors:
            pointers = [tensor.data_ptr() for tensor in tensors[: convolutions[..., :2].size]]
            convolutions[..., columns] = np.reshape(pointers, (EDGES, len(KERNELS), 2))
    running = np.zeros((EDGES, MAPS, 3), np.int64)
    if updates or not static.training:
        tracked = [[_running(norm) for norm in norms] for norms in static.norms]
        for to, pointers_of in zip(running, tracked, strict=True):
            to[: len(pointers_of)] = pointers_of
    parts = convolutions.reshape(EDGES, -1), running.reshape(EDGES, -1), static.table()
    table = np.concatenate(parts, axis=1)
    first, norm = arguments.inputs[0], static.norms[0][0]
    assert norm.momentum is not None, "search-time BatchNorm forgets exponentially"
    batch, height, width, _ = first.shape
    cell = Cell(
        *(first.dtype == torch.float64, batch, height, width, arguments.channels, static.stride),
        *(static.training, updates, bool(arguments.skip_convs)),
        *(norm.eps, norm.momentum, table.ctypes.data, arguments.weights.data_ptr()),
        threads=torch.get_num_threads(),
    )
    return cell, table


def _running(norm: nn.BatchNorm2d) -> list[int]:
    """Addresses of the running mean and variance and of the number of batches; 0 where there are none."""
    names = "running_mean", "running_var", "num_batches_tracked"
    buffers = [norm._buffers[name] for name in names]  # three times as fast as attribute access
    return [0 if buffer is None else buffer.data_ptr() for buffer in buffers]


def by_parity(x: Tensor) -> Tensor:
    """What skips of stride 2 read: even and odd pixels of x [B, H, W, C] after ReLU, [B, H', W', 2 * C]."""
    parts = pixels_by_parity(x.permute(0, 3, 1, 2))
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).relu_()


def split(concatenation: Tensor) -> list[Tensor]:
    """The nodes in a cell's output [B, H, W, 4 * C]."""
    return list(concatenation.chunk(len(CONCAT), dim=3))


def term(x: Tensor, to: Tensor, scale: int | None = None, shift: int | None = None) -> Term:
    """`scale * x + shift` for x [B, H, W, C], which goes into the map `to`; both at their addresses."""
    return Term(x.data_ptr(), scale, shift, pixel_stride(x), to.data_ptr(), pixel_stride(to))
