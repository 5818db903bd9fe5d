"""Triton kernels of depthwise convolutions, forward and backward; `kernels` says how maps lie."""

from __future__ import annotations

import triton.language as tl

from search_spaces.cells.gpu.compiling import compiled


@compiled
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


@compiled
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


@compiled
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
