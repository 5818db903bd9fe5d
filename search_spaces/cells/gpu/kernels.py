"""Triton kernels of separable convolutions and their BatchNorms, on maps with their channels last.

A wide map [P, units * C] has the channels of many units side by side at each of its P pixels, B * H * W.
Every program computes a block of pixels of one unit. Sums over pixels are written block by block and added up
by a second kernel, so that they are the same in each run.

Where a map is normalized or a gradient goes through BatchNorm, the kernel that reads it does that as it
loads, with numbers per channel, so that neither is ever written.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# Sizes that are 1 for some edges would be compiled anew there.
_SIZES = ["pixels", "chunk", "height", "width", "out_height", "out_width", "copies", "stride", "dilation"]
_GENERAL = [*_SIZES, "is_added", "is_last", "nodes", "count", "terms", "size", "blocks"]


def _compiled(kernel: Any) -> Any:
    """A kernel that is compiled for types and for numbers of channels, but not for other sizes."""
    return triton.jit(kernel, do_not_specialize=[n for n in _GENERAL if n in kernel.__code__.co_varnames])


@_compiled
def depthwise(
    x, weight, y, means, scales,
    pixels, height, width, out_height, out_width, stride, dilation, channels, copies, x_row, x_start, y_row,
    y_start, KERNEL: tl.constexpr, IS_NORMALIZED: tl.constexpr, SUM: tl.constexpr, PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """A depthwise convolution of ReLU(x), or of ReLU((x - mean) * scale); `copies` units read the same x."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    unit = tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < channels
    read = x_start + unit // copies * channels + channel
    column = pixel % out_width * stride - dilation * (KERNEL // 2)
    row = pixel // out_width % out_height * stride - dilation * (KERNEL // 2)
    image = pixel // (out_width * out_height)
    taken = weight + (unit * channels + channel) * (KERNEL * KERNEL)
    if IS_NORMALIZED:
        mean = tl.load(means + read, is_channel, other=0)[None, :]
        scale = tl.load(scales + read, is_channel, other=0)[None, :]
    total = tl.zeros([PIXELS, CHANNELS], SUM)
    for tap_row in range(KERNEL):
        is_row = (row >= 0) & (row < height) & (pixel < pixels)
        at_row = (image * height + row) * width
        for tap in tl.static_range(KERNEL):
            from_column = column + dilation * tap
            is_inside = is_row & (from_column >= 0) & (from_column < width)
            is_there = is_inside[:, None] & is_channel[None, :]
            at = (at_row + from_column).to(tl.int64)[:, None] * x_row + read[None, :]
            value = tl.load(x + at, is_there, other=0).to(SUM)
            if IS_NORMALIZED:
                value = tl.where(is_there, (value - mean) * scale, 0)
            factor = tl.load(taken + tap_row * KERNEL + tap, is_channel, other=0).to(SUM)
            total += tl.maximum(value, 0) * factor[None, :]
        row += dilation
    written = y + pixel.to(tl.int64)[:, None] * y_row + (y_start + unit * channels + channel)[None, :]
    tl.store(written, total.to(y.dtype.element_ty), (pixel < pixels)[:, None] & is_channel[None, :])


@_compiled
def depthwise_input(
    grad, weight, x, means, x_grad, sums,
    pixels, height, width, out_height, out_width, stride, dilation, channels, copies, grad_row, grad_start,
    x_row, x_start, is_added, is_last, KERNEL: tl.constexpr, IS_NORMALIZED: tl.constexpr, SUM: tl.constexpr,
    PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient by x of `depthwise`, added to what `x_grad` holds with `is_added`.

    Only with `is_last` does it go through the ReLU. Of a normalized x it is that of the normalized map, and
    its sums by channel, alone and times x - mean, are written per block of pixels. The stride is 1 or 2.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    state = tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < channels
    column = pixel % width + dilation * (KERNEL // 2)
    row = pixel // width % height + dilation * (KERNEL // 2)
    image = pixel // (width * height)
    odd = stride - 1  # of a stride of 1 or 2: what must be 0 at the end of a number that it divides
    own = x_start + state * channels + channel
    is_own = (pixel < pixels)[:, None] & is_channel[None, :]
    at_own = pixel.to(tl.int64)[:, None] * x_row + own[None, :]
    total = tl.zeros([PIXELS, CHANNELS], SUM)
    for tap_row in range(KERNEL):
        is_row = (row >= 0) & ((row & odd) == 0) & (row >> odd < out_height) & (pixel < pixels)
        at_row = (image * out_height + (row >> odd)) * out_width
        for tap in tl.static_range(KERNEL):
            to_column = column - dilation * tap
            is_inside = is_row & (to_column >= 0) & ((to_column & odd) == 0)
            is_inside = is_inside & (to_column >> odd < out_width)
            is_there = is_inside[:, None] & is_channel[None, :]
            at = (at_row + (to_column >> odd)).to(tl.int64)[:, None] * grad_row + grad_start
            for copy in range(copies):
                read = (state * copies + copy) * channels + channel
                value = tl.load(grad + at + read[None, :], is_there, other=0).to(SUM)
                taken = weight + read * (KERNEL * KERNEL) + tap_row * KERNEL + tap
                total += value * tl.load(taken, is_channel, other=0).to(SUM)[None, :]
        row -= dilation
    if is_added != 0:
        total += tl.load(x_grad + at_own, is_own, other=0).to(SUM)
    if IS_NORMALIZED:
        mean = tl.load(means + own, is_channel, other=0)[None, :]
        value = tl.load(x + at_own, is_own, other=0).to(SUM) - mean
        total = tl.where((value > 0) & is_own, total, 0)
        block = sums + tl.program_id(0) * 2 * x_row + own
        tl.store(block, tl.sum(total, 0), is_channel)
        tl.store(block + x_row, tl.sum(total * value, 0), is_channel)
    elif is_last != 0:
        total = tl.where(tl.load(x + at_own, is_own, other=0) > 0, total, 0)
    tl.store(x_grad + at_own, total.to(x_grad.dtype.element_ty), is_own)


@_compiled
def depthwise_weight(
    x, grad, means, scales, sums,
    pixels, chunk, height, width, out_height, out_width, stride, dilation, channels, copies, x_row, x_start,
    grad_row, grad_start, sums_row, sums_start, KERNEL: tl.constexpr, IS_NORMALIZED: tl.constexpr,
    SUM: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient by the weights of `depthwise`: the sums of a chunk of pixels, for one row of the kernel.

    They are written from `sums_start` on in the chunk's row of `sums`, [chunks, sums_row].
    """
    blocks = tl.cdiv(channels, CHANNELS)
    unit = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < channels
    tap_row = tl.program_id(2)
    read = x_start + unit // copies * channels + channel
    own = grad_start + unit * channels + channel
    if IS_NORMALIZED:
        mean = tl.load(means + read, is_channel, other=0)[None, :]
        scale = tl.load(scales + read, is_channel, other=0)[None, :]
    first = tl.zeros([PIXELS, CHANNELS], SUM)
    second = tl.zeros([PIXELS, CHANNELS], SUM)
    third = tl.zeros([PIXELS, CHANNELS], SUM)
    fourth = tl.zeros([PIXELS, CHANNELS], SUM)
    fifth = tl.zeros([PIXELS, CHANNELS], SUM)
    start = tl.program_id(0) * chunk
    for begin in range(start, tl.minimum(start + chunk, pixels), PIXELS):
        pixel = begin + tl.arange(0, PIXELS)
        is_pixel = pixel < pixels
        column = pixel % out_width * stride - dilation * (KERNEL // 2)
        from_row = pixel // out_width % out_height * stride + dilation * (tap_row - KERNEL // 2)
        image = pixel // (out_width * out_height)
        is_row = is_pixel & (from_row >= 0) & (from_row < height)
        at_grad = pixel.to(tl.int64)[:, None] * grad_row + own[None, :]
        given = tl.load(grad + at_grad, is_pixel[:, None] & is_channel[None, :], other=0).to(SUM)
        at_row = (image * height + from_row) * width
        for tap in tl.static_range(KERNEL):
            from_column = column + dilation * tap
            is_inside = is_row & (from_column >= 0) & (from_column < width)
            is_there = is_inside[:, None] & is_channel[None, :]
            at = (at_row + from_column).to(tl.int64)[:, None] * x_row + read[None, :]
            value = tl.load(x + at, is_there, other=0).to(SUM)
            if IS_NORMALIZED:
                value = tl.where(is_there, (value - mean) * scale, 0)
            product = tl.maximum(value, 0) * given
            if tap == 0:
                first += product
            elif tap == 1:
                second += product
            elif tap == 2:
                third += product
            elif tap == 3:
                fourth += product
            else:
                fifth += product
    written = sums + tl.program_id(0) * sums_row + sums_start + tap_row * KERNEL
    written += (unit * channels + channel) * (KERNEL * KERNEL)
    tl.store(written, tl.sum(first, 0), is_channel)
    tl.store(written + 1, tl.sum(second, 0), is_channel)
    tl.store(written + 2, tl.sum(third, 0), is_channel)
    if KERNEL > 3:
        tl.store(written + 3, tl.sum(fourth, 0), is_channel)
        tl.store(written + 4, tl.sum(fifth, 0), is_channel)


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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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
