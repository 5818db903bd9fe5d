"""From the inputs of a search-time cell to its output.

BatchNorm is only a scale and a shift per channel, so maps are kept as they are before it, and it is applied
where they are read: before the second convolution of a sep_conv, and where a node sums its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from search_spaces.cells.compiled.bypass import Bypass
from search_spaces.cells.compiled.kernels import Job, Norm, Term, call
from search_spaces.cells.compiled.layout import (
    FIRST,
    INTO_NODE,
    KERNELS,
    MAPS,
    MAX,
    MEAN,
    ON_STATE,
    OUTGOING,
    SECOND,
    SKIP,
    Arguments,
    Maps,
    Static,
    addresses,
    by_parity,
    one,
    split,
    term,
)
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, INPUTS


def forward(static: Static, arguments: Arguments, updates: bool) -> tuple[Tensor, list[Maps]]:
    """The cell's output [B, H', W', 4 * C] and its maps; `updates` says whether running statistics change."""
    batch, height, width, channels = arguments.inputs[0].shape
    height, width = (height - 1) // static.stride + 1, (width - 1) // static.stride + 1
    out = arguments.inputs[0].new_empty(batch, height, width, len(CONCAT) * channels)
    states, maps = [*arguments.inputs, *split(out)], []
    bypass = Bypass(static, arguments, states) if arguments.channels < channels else None
    terms: dict[int, list[Term]] = {node: [] for node in CONCAT}
    coefficients = []  # the terms point into them
    for state, outgoing in enumerate(OUTGOING):
        if state >= INPUTS:
            _complete(state, states, terms[state], bypass)
        x = states[state][..., : arguments.channels]
        maps.append(_edges_of(x, static, arguments, state, updates))
        coefficients.append(maps[-1].norm[:, INTO_NODE] * arguments.mixture(state)[..., None, None])
        sums = [bypass.head if bypass else states[node] for node, _ in outgoing]
        for (node, edge), row in zip(outgoing, maps[-1].into_nodes(x, coefficients[-1], sums), strict=True):
            terms[node] += [row[index] for index in static.into_node(edge)]
    _complete(CONCAT[-1], states, terms[CONCAT[-1]], bypass)
    return out, maps


def _complete(node: int, states: list[Tensor], terms: list[Term], bypass: Bypass | None) -> None:
    """Compute a node from the terms of its edges."""
    _sum_into(bypass.head if bypass else states[node], terms)
    if bypass:
        bypass.complete(node)


def _sum_into(node: Tensor, terms: list[Term]) -> None:
    """Set a node to the sum of its terms; without any it is zero."""
    if terms:
        call("combine", node, 1, terms)
    else:
        node.zero_()


def _edges_of(x: Tensor, static: Static, arguments: Arguments, state: int, updates: bool) -> Maps:
    """Run the operations that read the state `x` [B, H, W, C]."""
    outgoing, stride = OUTGOING[state], static.stride if state < INPUTS else 1
    batch, height, width, channels = x.shape
    size = (batch, (height - 1) // stride + 1, (width - 1) // stride + 1, channels)
    edges = range(len(outgoing))
    if updates and size[0] * size[1] * size[2] == 1:
        raise UserError("BatchNorm needs more than one value per channel when training")
    norms = [static.norms[edge] for _, edge in outgoing]
    tracked, momentum = len(norms[0]), norms[0][0].momentum
    assert momentum is not None, "search-time BatchNorm forgets exponentially"
    convolutions, pools = x.new_empty(len(edges), len(KERNELS), *size), x.new_empty(2, *size)
    sums = torch.zeros(len(edges), MAPS, 2, channels, dtype=torch.float64)
    norm = torch.zeros_like(sums)
    norm[:, SKIP, 0] = 1
    if not static.training:
        norm[:, :tracked] = _from_running(norms)
    maps_at, sums_at, norm_at = (addresses(whole, 2) for whole in (convolutions, sums, norm))

    def convolve(source: Tensor, stride: int, jobs: Iterable[tuple[int, int, int, int | None]]) -> None:
        made = [
            Job(
                read,
                *arguments.convolution(outgoing[edge].edge, index),
                prologue,
                maps_at[edge][index],
                sums_at[edge][index],
                *KERNELS[index],
            )
            for edge, index, read, prologue in jobs
            if static.computes(outgoing[edge].edge, index)
        ]
        if made:
            call("forward", source, stride, made)

    def normalize(indices: range) -> None:
        made = [
            Norm(sums_at[edge][index], norm_at[edge][index], *_running(norms[edge][index], updates))
            for edge in edges
            for index in indices
            if static.training and static.computes(outgoing[edge].edge, index)
        ]
        if made:
            call("normalize", convolutions[0, 0], 1, made, norms[0][0].eps, momentum)

    convolve(x, stride, ((edge, index, x.data_ptr(), None) for edge in edges for index in ON_STATE))
    normalize(range(len(FIRST)))
    second = ((edge, SECOND[k], maps_at[edge][k], norm_at[edge][k]) for edge in edges for k in FIRST)
    convolve(convolutions[0, 0], 1, second)
    if any(static.computes(edge, pool) for _, edge in outgoing for pool in (MAX, MEAN)):
        pool_sums = sums.new_empty(2, 2, channels)
        call("pool", x, stride, x, pools[0], pools[1], pool_sums)
        sums[:, MAX:SKIP] = pool_sums
    skips: Tensor | None
    if stride == 2:
        skips = _skips(x, arguments, state, sums)
    else:
        skips = _masked(x, [static.masks[edge] for _, edge in outgoing]) if static.masks else None
    normalize(range(len(FIRST), tracked))
    return Maps(convolutions, pools, norm, skips)


def _masked(x: Tensor, masks: list[Tensor | None]) -> Tensor:
    """A state [B, H, W, C] times the mask of each of its edges, [edges, B, H, W, C]."""
    return torch.stack([x if mask is None else x * mask for mask in masks])


def _skips(x: Tensor, arguments: Arguments, state: int, sums: Tensor) -> Tensor:
    """The skips of a state that reduce it, before BatchNorm."""
    maps = []
    for which, part in enumerate(by_parity(x)):
        maps.append(part @ arguments.skip_weights(state, which)[:, None, None].mT)
    skips = torch.cat(maps, dim=-1)
    constant, found = one(x), sums.new_empty(len(skips), 2, x.shape[3])
    terms = []
    for skip in skips:
        itself = term(skip, skip)
        terms += [Term(None, None, constant.data_ptr(), 0, itself.map, itself.map_pixel), itself]
    call("dots", skips[0], 1, terms, found)
    sums[:, SKIP] = found
    return skips


def _from_running(norms: list[list[nn.BatchNorm2d]]) -> Tensor:
    mean, variance = (
        torch.stack([torch.stack([getattr(norm, name) for norm in row]) for row in norms])
        for name in ("running_mean", "running_var")
    )
    scale = (variance.double() + norms[0][0].eps).rsqrt()
    return torch.stack([scale, -mean.double() * scale], dim=-2)


def _running(norm: nn.BatchNorm2d, updates: bool) -> list[int]:
    """Addresses of the running mean and variance and of the number of batches, if they change."""
    tracked = norm.running_mean, norm.running_var, norm.num_batches_tracked
    return [buffer.data_ptr() for buffer in tracked if buffer is not None] if updates else []
