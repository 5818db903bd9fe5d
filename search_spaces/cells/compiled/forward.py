"""From the inputs of a search-time cell to its output.

BatchNorm is only a scale and a shift per channel, so maps are kept as they are before it, and it is applied
where they are read: before the second convolution of a sep_conv, and where a node sums its inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from search_spaces.cells.compiled.bypass import Bypass
from search_spaces.cells.compiled.kernels import Job, Term, call
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
    edges, pixels = range(len(outgoing)), size[0] * size[1] * size[2]
    norms = [static.norms[edge] for _, edge in outgoing]
    tracked = len(norms[0])
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

    convolve(x, stride, ((edge, index, x.data_ptr(), None) for edge in edges for index in ON_STATE))
    if static.training:
        norm[:, : len(FIRST)] = _from_batch(sums[:, : len(FIRST)], pixels, norms[0][0].eps)
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
    if static.training:
        rest = slice(len(FIRST), tracked)
        norm[:, rest] = _from_batch(sums[:, rest], pixels, norms[0][0].eps)
    if updates:
        every, fresh = list(itertools.chain(*norms)), sums[:, :tracked].flatten(0, 1)
        if static.computed is not None:
            wanted = [static.computes(edge, index) for _, edge in outgoing for index in range(tracked)]
            every, fresh = list(itertools.compress(every, wanted)), fresh[torch.tensor(wanted)]
        _update(every, fresh, pixels)
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


def _moments(sums: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance from sums and sums of squares [..., 2, C]."""
    mean = sums[..., 0, :] / pixels
    return mean, (sums[..., 1, :] / pixels - mean.square()).clamp_min(0)


def _scale_and_shift(mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    scale = (variance + eps).rsqrt()
    return torch.stack([scale, -mean * scale], dim=-2)


def _from_batch(sums: Tensor, pixels: int, eps: float) -> Tensor:
    return _scale_and_shift(*_moments(sums, pixels), eps)


def _from_running(norms: list[list[nn.BatchNorm2d]]) -> Tensor:
    mean, variance = (
        torch.stack([torch.stack([getattr(norm, name) for norm in row]) for row in norms])
        for name in ("running_mean", "running_var")
    )
    return _scale_and_shift(mean.double(), variance.double(), norms[0][0].eps)


def _batches(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.num_batches_tracked is not None, "search-time BatchNorm tracks running statistics"
    return norm.num_batches_tracked


def _update(norms: list[nn.BatchNorm2d], sums: Tensor, pixels: int) -> None:
    """Running statistics after a batch, from sums [norms, 2, C]: of means, and of unbiased variances."""
    if not norms:
        return
    if pixels == 1:
        raise UserError("BatchNorm needs more than one value per channel when training")
    mean, variance = _moments(sums, pixels)
    momentum = norms[0].momentum
    assert momentum is not None, "search-time BatchNorm forgets exponentially"
    fresh = {"running_mean": mean, "running_var": variance * (pixels / (pixels - 1))}
    for name, values in fresh.items():
        buffers = [getattr(norm, name) for norm in norms]
        torch._foreach_lerp_(buffers, list(values.to(buffers[0].dtype).unbind()), momentum)
    torch._foreach_add_([_batches(norm) for norm in norms], 1)
