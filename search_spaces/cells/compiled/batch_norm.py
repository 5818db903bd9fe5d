"""BatchNorm in training with the compiled loops: a scale and a shift per channel, in float64.

Maps are [B, H, W, C] with their channels last in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.cells.compiled.kernels import Term, call, pixel_stride, usable
from search_spaces.cells.compiled.layout import term


class Moments(NamedTuple):
    """BatchNorm of a map y: gamma * u + beta with u = (y - mean) * rstd; float64.

    Attributes:
        mean: mean of every channel, [C].
        rstd: one over the square root of its variance and epsilon, [C].
        affine: scale and shift that take y to the output, [2, C].
    """

    mean: Tensor
    rstd: Tensor
    affine: Tensor


def trains_by_loops(x: Tensor, first: nn.Conv2d, norms: list[nn.BatchNorm2d], pixels: int) -> bool:
    """Whether the loops can train layers that end in these BatchNorms.

    Args:
        x: the input, [B, C, H, W].
        first: the convolution that reads it.
        norms: the BatchNorms.
        pixels: pixels of all images of the output; of a single value there is no variance, as torch says.
    """
    return (
        all(norm.training and norm.momentum is not None for norm in norms)
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and pixels > 1
        and x.dtype == first.weight.dtype
        and x.shape[1] == first.in_channels
        and usable(x)
    )


def moments(
    sums: Tensor, y: Tensor, norm: nn.BatchNorm2d, gamma: Tensor | None, beta: Tensor | None
) -> Moments:
    """Moments of y [B, H, W, C] from sums of it and of its square [2, C]; updates running statistics."""
    pixels = y.numel() // y.shape[3]
    mean = sums[0] / pixels
    variance = (sums[1] / pixels - mean.square()).clamp_min(0)
    if norm.running_mean is not None and norm.running_var is not None:
        assert norm.momentum is not None, "callers ask first"
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        unbiased = variance * pixels / (pixels - 1)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    rstd = (variance + norm.eps).rsqrt()
    scale = rstd if gamma is None else gamma.double() * rstd
    shift = -mean * scale if beta is None else beta.double() - mean * scale
    return Moments(mean, rstd, torch.stack([scale, shift]))


def normalized(y: Tensor, affine: Tensor) -> Tensor:
    """The scale and shift [2, C] applied to y [B, H, W, C]."""
    out = torch.empty_like(y)
    call("combine", out, 1, [term(y, out, affine[0].data_ptr(), affine[1].data_ptr())])
    return out


class Backward(NamedTuple):
    """The gradients of a BatchNorm's output [B, H, W, C], added up.

    Attributes:
        gamma: gradient of gamma: the sum of g * u, [C].
        beta: gradient of beta: the sum of g, [C].
        epilogue: p, q, r with dL/dy = p * g + q * y + r, [3, C].
    """

    gamma: Tensor
    beta: Tensor
    epilogue: Tensor


def backward(y: Tensor, grad: Tensor, found: Moments) -> Backward:
    """Back through BatchNorm of y [B, H, W, C].

    With n pixels, dL/dy = gamma * rstd * (g - sum(g) / n - u * sum(g * u) / n).
    """
    mean, rstd, affine = found
    offset = -mean * rstd
    one, sums = torch.ones_like(mean), mean.new_empty(2, len(mean))
    terms = [
        term(y, grad, rstd.data_ptr(), offset.data_ptr()),
        Term(None, None, one.data_ptr(), 0, grad.data_ptr(), pixel_stride(grad)),
    ]
    call("dots", grad, 1, terms, sums)
    products, total = sums
    scale = affine[0]
    share = scale / (y.numel() // y.shape[3])
    epilogue = torch.stack([scale, -share * products * rstd, -share * (total + products * offset)])
    return Backward(products, total, epilogue)


def channels_last(x: Tensor) -> Tensor:
    """Change x [B, C, H, W] to [B, H, W, C]; it is copied if its pixels do not lie at equal distances.

    The gradient of a node, for one, is some channels of the gradient of the cell's output.
    """
    x = x.permute(0, 2, 3, 1)
    pixel = pixel_stride(x)
    wanted = (x.shape[1] * x.shape[2] * pixel, x.shape[2] * pixel, pixel, 1)
    axes = zip(x.shape, x.stride(), wanted, strict=True)
    return x if all(size == 1 or stride == want for size, stride, want in axes) else x.contiguous()
