"""Triton kernels of separable convolutions and their BatchNorms, on maps with their channels last.

A wide map [P, units * C] has the channels of many units side by side at each of its P pixels, B * H * W.
Every program computes a block of pixels of one unit. Sums over pixels are written block by block and added up
by a second kernel, so that they are the same in each run.

Where a map is normalized or a gradient goes through BatchNorm, the kernel that reads it does that as it
loads, with numbers per channel, so that neither is ever written.
"""

from __future__ import annotations

import triton
import triton.language as tl

from search_spaces.cells.gpu.compiling import compiled
from search_spaces.cells.gpu.depthwise import depthwise, depthwise_input, depthwise_weight

__all__ = [
    "depthwise",
    "depthwise_input",
    "depthwise_weight",
    "grad_factors",
    "into_nodes",
    "node_sums",
    "pointwise",
    "pointwise_weight",
    "statistics",
]


@triton.jit
def _through_norm(
    grad, x, means, factors, at_grad, at_x, wide, own, is_there, is_channel, SUM: tl.constexpr
):  # fmt: skip
    """Gradient by the input of a BatchNorm, from that by its output, by what `grad_factors` wrote."""
    given = tl.load(grad + at_grad, is_there, other=0).to(SUM)
    value = tl.load(x + at_x, is_there, other=0).to(SUM)
    mean = tl.load(means + own, is_channel, other=0)[None, :]
    of_grad = tl.load(factors + own, is_channel, other=0)[None, :]
    of_x = tl.load(factors + wide + own, is_channel, other=0)[None, :]
    constant = tl.load(factors + 2 * wide + own, is_channel, other=0)[None, :]
    return tl.where(is_there, of_grad * given + of_x * (value - mean) + constant, 0)


@compiled
def pointwise(
    x, weight, y, sums, grad, means, factors,
    pixels, channels, row, nodes, weight_row, weight_column,
    IS_GRAD: tl.constexpr, HAS_NODES: tl.constexpr, HAS_SUMS: tl.constexpr, PRECISION: tl.constexpr,
    SUM: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The 1x1 convolution of each unit, of a wide map [pixels, row].

    Args:
        HAS_SUMS: whether the sum by channel of y, and of the squares of its distances from their mean, are
            written for each block of pixels.
        IS_GRAD: whether not x is convolved but the gradient by x, the input of a BatchNorm, from `grad`: that
            by its output, [pixels, row], or with `HAS_NODES` by the nodes that the units enter, [nodes,
            pixels, channels].
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    unit = tl.program_id(1)
    out = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    is_pixel = (pixel < pixels)[:, None]
    at = pixel.to(tl.int64)[:, None] * row
    total = tl.zeros([PIXELS, CHANNELS], SUM)
    for begin in range(0, channels, CHANNELS):
        channel = begin + tl.arange(0, CHANNELS)
        is_channel = channel < channels
        own = unit * channels + channel
        is_there = is_pixel & is_channel[None, :]
        if IS_GRAD:
            at_grad = at + own[None, :]
            if HAS_NODES:
                at_grad = (unit % nodes).to(tl.int64) * pixels * channels + (
                    pixel.to(tl.int64)[:, None] * channels + channel[None, :]
                )
            value = _through_norm(
                grad, x, means, factors, at_grad, at + own[None, :], row, own, is_there, is_channel, SUM
            ).to(x.dtype.element_ty)
        else:
            value = tl.load(x + at + own[None, :], is_there, other=0)
        at_weight = unit * channels * channels + out[None, :] * weight_row + channel[:, None] * weight_column
        taken = tl.load(weight + at_weight, is_channel[:, None] & (out < channels)[None, :], other=0)
        total += tl.dot(value, taken.to(x.dtype.element_ty), input_precision=PRECISION, out_dtype=SUM)
    own = unit * channels + out
    is_out = out < channels
    stored = total.to(y.dtype.element_ty)
    tl.store(y + at + own[None, :], stored, is_pixel & is_out[None, :])
    if HAS_SUMS:
        rounded = stored.to(SUM)  # rows of pixels that are not there are zero
        count = tl.minimum(pixels - tl.program_id(0) * PIXELS, PIXELS)
        block = tl.sum(rounded, 0)
        distance = tl.where(is_pixel, rounded - (block / count)[None, :], 0)
        written = sums + tl.program_id(0) * 2 * row + own
        tl.store(written, block, is_out)
        tl.store(written + row, tl.sum(distance * distance, 0), is_out)


@compiled
def pointwise_weight(
    z, x, grad, means, factors, sums,
    pixels, chunk, channels, row, nodes,
    HAS_NODES: tl.constexpr, PRECISION: tl.constexpr, SUM: tl.constexpr, PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient by the weights of `pointwise` of z, whose result x a BatchNorm takes: a chunk of pixels."""
    unit = tl.program_id(1)
    blocks = tl.cdiv(channels, CHANNELS)
    out = tl.program_id(2) // blocks * CHANNELS + tl.arange(0, CHANNELS)
    channel = tl.program_id(2) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    is_out = out < channels
    is_channel = channel < channels
    own = unit * channels + out
    total = tl.zeros([CHANNELS, CHANNELS], SUM)
    start = tl.program_id(0) * chunk
    for begin in range(start, tl.minimum(start + chunk, pixels), PIXELS):
        pixel = begin + tl.arange(0, PIXELS)
        is_pixel = (pixel < pixels)[:, None]
        at = pixel.to(tl.int64)[:, None] * row
        at_grad = at + own[None, :]
        if HAS_NODES:
            at_grad = (unit % nodes).to(tl.int64) * pixels * channels + (
                pixel.to(tl.int64)[:, None] * channels + out[None, :]
            )
        is_there = is_pixel & is_out[None, :]
        given = _through_norm(
            grad, x, means, factors, at_grad, at + own[None, :], row, own, is_there, is_out, SUM
        )
        value = tl.load(
            z + at + (unit * channels + channel)[None, :], is_pixel & is_channel[None, :], other=0
        )
        given = tl.trans(given.to(value.dtype))
        total += tl.dot(given, value, input_precision=PRECISION, out_dtype=SUM)
    units = tl.num_programs(1)
    at_sum = ((tl.program_id(0) * units + unit) * channels + out[:, None]) * channels + channel[None, :]
    tl.store(sums + at_sum, total, is_out[:, None] & is_channel[None, :])


@compiled
def statistics(
    sums, means, scales, batch_means, batch_variances, epsilon,
    pixels, size, blocks, wide, BLOCKS: tl.constexpr, CHANNELS: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / standard deviation by channel, from the sums [blocks, 2, wide] of `pointwise`.

    Also the mean and the unbiased variance of the batch, which running statistics follow.
    """
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < wide
    total = tl.zeros([BLOCKS, CHANNELS], SUM)
    for begin in range(0, blocks, BLOCKS):
        block = begin + tl.arange(0, BLOCKS)
        is_there = (block < blocks)[:, None] & is_channel[None, :]
        total += tl.load(sums + block[:, None] * 2 * wide + channel[None, :], is_there, other=0)
    mean = tl.sum(total, 0) / pixels
    squares = tl.zeros([BLOCKS, CHANNELS], SUM)
    for begin in range(0, blocks, BLOCKS):
        block = begin + tl.arange(0, BLOCKS)
        is_there = (block < blocks)[:, None] & is_channel[None, :]
        at = sums + block[:, None] * 2 * wide + channel[None, :]
        count = tl.minimum(pixels - block * size, size).to(SUM)[:, None]
        distance = tl.load(at, is_there, other=0) / count - mean[None, :]
        squares += tl.where(is_there, tl.load(at + wide, is_there, other=0) + count * distance * distance, 0)
    squares = tl.sum(squares, 0)
    tl.store(means + channel, mean, is_channel)
    tl.store(scales + channel, 1 / tl.sqrt(squares / pixels + epsilon), is_channel)
    tl.store(batch_means + channel, mean, is_channel)
    tl.store(batch_variances + channel, squares / (pixels - 1), is_channel)


@compiled
def grad_factors(
    sums, scales, weights, factors, weight_grad,
    pixels, blocks, wide, HAS_WEIGHTS: tl.constexpr, IS_TRAINING: tl.constexpr, BLOCKS: tl.constexpr,
    CHANNELS: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """What the gradient by the input x of a BatchNorm is made of: factors of `grad` and x - mean, a constant.

    Args:
        sums: sums over pixels of `grad` and of `grad` * (x - mean), [blocks, 2, wide].
        scales: 1 / standard deviation.
        weights: factors of the normalized maps, whose gradient goes to `weight_grad`, with `HAS_WEIGHTS`.
        IS_TRAINING: whether mean and deviation are those of the batch.
    """
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < wide
    plain = tl.zeros([BLOCKS, CHANNELS], SUM)
    times = tl.zeros([BLOCKS, CHANNELS], SUM)
    for begin in range(0, blocks, BLOCKS):
        block = begin + tl.arange(0, BLOCKS)
        is_there = (block < blocks)[:, None] & is_channel[None, :]
        at = sums + block[:, None] * 2 * wide + channel[None, :]
        plain += tl.load(at, is_there, other=0)
        times += tl.load(at + wide, is_there, other=0)
    scale = tl.load(scales + channel, is_channel, other=0)
    of_grad = scale
    normalized = tl.sum(times, 0) * scale
    if HAS_WEIGHTS:
        of_grad = scale * tl.load(weights + channel, is_channel, other=0)
        tl.store(weight_grad + channel, normalized, is_channel)
    tl.store(factors + channel, of_grad, is_channel)
    of_x = tl.zeros([CHANNELS], SUM)
    constant = tl.zeros([CHANNELS], SUM)
    if IS_TRAINING:
        of_x = -of_grad * scale * normalized / pixels
        constant = -of_grad * tl.sum(plain, 0) / pixels
    tl.store(factors + wide + channel, of_x, is_channel)
    tl.store(factors + 2 * wide + channel, constant, is_channel)


@compiled
def into_nodes(
    x, means, scales, weights, given, nodes,
    pixels, channels, row, count, terms, HAS_GIVEN: tl.constexpr, SUM: tl.constexpr, PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Nodes [count, pixels, channels]: what is `given`, and normalized maps of x times their weights.

    The units of x go into the nodes in turn; each node has as many `terms`.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    node = tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < channels
    is_there = (pixel < pixels)[:, None] & is_channel[None, :]
    at = node.to(tl.int64) * pixels * channels + (pixel.to(tl.int64)[:, None] * channels + channel[None, :])
    total = tl.zeros([PIXELS, CHANNELS], SUM)
    if HAS_GIVEN:
        total += tl.load(given + at, is_there, other=0).to(SUM)
    for term in range(terms):
        own = (term * count + node) * channels + channel
        mean = tl.load(means + own, is_channel, other=0)[None, :]
        scale = tl.load(scales + own, is_channel, other=0) * tl.load(weights + own, is_channel, other=0)
        value = tl.load(x + pixel.to(tl.int64)[:, None] * row + own[None, :], is_there, other=0).to(SUM)
        total += (value - mean) * scale[None, :]
    tl.store(nodes + at, total.to(nodes.dtype.element_ty), is_there)


@compiled
def node_sums(
    x, means, grad, sums,
    pixels, chunk, channels, row, nodes, SUM: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums of the gradient by a unit's node, alone and times x - mean: those of a chunk of pixels."""
    unit = tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < channels
    own = unit * channels + channel
    mean = tl.load(means + own, is_channel, other=0)[None, :]
    plain = tl.zeros([PIXELS, CHANNELS], SUM)
    times = tl.zeros([PIXELS, CHANNELS], SUM)
    start = tl.program_id(0) * chunk
    for begin in range(start, tl.minimum(start + chunk, pixels), PIXELS):
        pixel = begin + tl.arange(0, PIXELS)
        is_there = (pixel < pixels)[:, None] & is_channel[None, :]
        wide_pixel = pixel.to(tl.int64)[:, None]
        at = (unit % nodes).to(tl.int64) * pixels * channels + wide_pixel * channels + channel[None, :]
        value = tl.load(grad + at, is_there, other=0).to(SUM)
        plain += value
        times += value * (tl.load(x + wide_pixel * row + own[None, :], is_there, other=0).to(SUM) - mean)
    written = sums + tl.program_id(0) * 2 * row + own
    tl.store(written, tl.sum(plain, 0), is_channel)
    tl.store(written + row, tl.sum(times, 0), is_channel)
