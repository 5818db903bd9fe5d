"""ReLU, 1x1 convolution and BatchNorm, while they train on a CPU, with the loops of the search-time cell.

These are the blocks that take a cell's inputs to its width. Between them torch's operations write and read
maps of the input, which is the wider.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from search_spaces.cells.compiled.batch_norm import (
    Moments,
    backward,
    channels_last,
    moments,
    normalized,
    trains_by_loops,
)
from search_spaces.cells.compiled.kernels import Product, pixel_stride, product
from search_spaces.operations import FactorizedReduce
from search_spaces.reduction import ChannelsLastReduce


class PointwiseConv(nn.Sequential):
    """ReLU, 1x1 convolution, BatchNorm: [B, C, H, W] -> [B, C', H, W].

    Made of the layers of the `nn.Sequential` that it replaces. Training on a CPU in float32 or float64 goes
    through compiled loops; everything else is left to the layers.
    """

    def forward(self, x: Tensor) -> Tensor:
        _, conv, norm = cast(tuple[nn.ReLU, nn.Conv2d, nn.BatchNorm2d], tuple(self))
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if not trains_by_loops(x, conv, [norm], pixels):
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return plain
        out: Tensor = _Loops.apply(x, norm, conv.weight, norm.weight, norm.bias)
        return out


def preprocess_by_loops(cell: nn.Module) -> None:
    """Let `preprocess0` and `preprocess1` of a cell train through compiled loops on a CPU, in place.

    Parameters, buffers and their names stay the same.
    """
    for name in ("preprocess0", "preprocess1"):
        block = getattr(cell, name)
        if type(block) is FactorizedReduce:
            setattr(cell, name, ChannelsLastReduce(block))
        elif _is_pointwise(block):
            setattr(cell, name, PointwiseConv(*block))


def _is_pointwise(block: nn.Module) -> bool:
    """Whether a block is ReLU, a plain 1x1 convolution and BatchNorm."""
    if type(block) is not nn.Sequential or [*map(type, block)] != [nn.ReLU, nn.Conv2d, nn.BatchNorm2d]:
        return False
    conv = cast(nn.Conv2d, block[1])
    is_plain = conv.bias is None and conv.groups == 1 and conv.padding == (0, 0)
    return is_plain and conv.kernel_size == conv.stride == (1, 1)


class _Loops(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm: nn.BatchNorm2d, weight: Tensor, gamma: Tensor | None, beta: Tensor | None
    ) -> Tensor:
        """Run the layers, and update the running statistics."""
        source, weight = channels_last(x), weight.detach().contiguous()
        y = source.new_empty(*source.shape[:3], len(weight))
        sums = source.new_empty(2, len(weight), dtype=torch.float64)
        product("product", source, _job(source, weight, y, sums=sums.data_ptr()))
        found = moments(sums, y, norm, gamma, beta)
        ctx.save_for_backward(source, weight, y, *found)
        ctx.has_affine = gamma is not None
        return normalized(y, found.affine).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the input and of the parameters that are wanted."""
        source, weight, y, *found = ctx.saved_tensors
        grad = channels_last(grad)
        back = backward(y, grad, Moments(*found))
        grad_x = (
            torch.empty_like(source, memory_format=torch.contiguous_format)
            if ctx.needs_input_grad[0]
            else None
        )
        grad_weight = torch.empty_like(weight) if ctx.needs_input_grad[2] else None
        job = _job(
            source,
            weight,
            y,
            grad=grad.data_ptr(),
            grad_pixel=pixel_stride(grad),
            epilogue=back.epilogue.data_ptr(),
            grad_x=None if grad_x is None else grad_x.data_ptr(),
            grad_weights=None if grad_weight is None else grad_weight.data_ptr(),
        )
        product("product_backward", source, job)
        affine = [back.gamma.to(y.dtype), back.beta.to(y.dtype)] if ctx.has_affine else [None, None]
        return None if grad_x is None else grad_x.permute(0, 3, 1, 2), None, grad_weight, *affine


def _job(x: Tensor, weight: Tensor, y: Tensor, **rest: int | None) -> Product:
    """The product of x [B, H, W, C] with a weight [C', C, 1, 1] into y [B, H, W, C']."""
    pixels = x.shape[0] * x.shape[1] * x.shape[2]
    addresses = (tensor.data_ptr() for tensor in (x, weight, y))
    return Product(*addresses, pixels, weight.shape[1], weight.shape[0], pixel_stride(x), **rest)
