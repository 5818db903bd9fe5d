"""Separable convolutions of a final network while it trains on a CPU, with the loops of the search-time cell.

On a CPU torch needs up to forty times as long for the backward pass of a dilated or 5x5 depthwise convolution
as for its forward pass, and BatchNorm's backward pass takes a quarter of a step. Here ReLU, both convolutions
and BatchNorm are a few calls of compiled loops, with the same results up to rounding. The network stays what
it is: the same layers under the same names, and plain torch in evaluation, on other devices and when
compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from search_spaces.cells.compiled.kernels import Job, Term, call, pixel_stride, usable
from search_spaces.cells.compiled.layout import term
from search_spaces.network import FinalCell

LAYERS = 4
"""Layers of a separable convolution: ReLU, depthwise and pointwise convolution, BatchNorm."""


class Block(NamedTuple):
    """A separable convolution; its ReLU may have been applied before."""

    depthwise: nn.Conv2d
    pointwise: nn.Conv2d
    norm: nn.BatchNorm2d


class SeparableConvs(nn.Sequential):
    """One or two separable convolutions, [B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)].

    Made of the layers of the `nn.Sequential` that it replaces. Training on a CPU in float32 or float64 goes
    through compiled loops; everything else is left to the layers.
    """

    def forward(self, x: Tensor) -> Tensor:
        blocks = list(self._blocks())
        if not self._is_for_loops(x, blocks):
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return plain
        parameters = [
            parameter
            for block in blocks
            for parameter in (
                block.depthwise.weight,
                block.pointwise.weight,
                block.norm.weight,
                block.norm.bias,
            )
        ]
        out: Tensor = _Loops.apply(x, blocks, *parameters)
        return out

    def _blocks(self) -> Iterator[Block]:
        layers = list(self)
        for start in range(0, len(layers), LAYERS):
            yield Block(*layers[start + 1 : start + LAYERS])  # type: ignore[arg-type]

    def _is_for_loops(self, x: Tensor, blocks: list[Block]) -> bool:
        stride = blocks[0].depthwise.stride[0]
        pixels = x.shape[0] * -(-x.shape[2] // stride) * -(-x.shape[3] // stride)
        return (
            all(block.norm.training and block.norm.momentum is not None for block in blocks)
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
            and pixels > 1  # of a single value there is no variance: torch says so
            and x.dtype == blocks[0].depthwise.weight.dtype
            and usable(x)
        )


def use_loops(network: nn.Module) -> None:
    """Let a final network's separable convolutions train through compiled loops on a CPU, in place.

    Parameters, buffers and their names stay the same. Networks of other operations are left as they are.
    """
    for cell in network.modules():
        if isinstance(cell, FinalCell):
            for index, operation in enumerate(cell.operations):
                if type(operation) is nn.Sequential and type(operation[-1]) is nn.BatchNorm2d:
                    cell.operations[index] = SeparableConvs(*operation)


class _Loops(torch.autograd.Function):
    """ReLU, depthwise convolution, pointwise convolution, BatchNorm; once, or twice in a row.

    No map is stored after BatchNorm, which is a scale and a shift per channel: what reads the map applies it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: list[Block], *parameters: Tensor) -> Tensor:
        """Run the blocks, and update the running statistics of their BatchNorm."""
        maps, moments = [x.permute(0, 2, 3, 1).contiguous()], []
        weights = [parameter.detach().contiguous() for parameter in parameters]
        prologue: Tensor | None = None
        for index, block in enumerate(blocks):
            depthwise, pointwise, gamma, beta = weights[LAYERS * index : LAYERS * (index + 1)]
            source, sums = maps[-1], torch.zeros(2, x.shape[1], dtype=torch.float64)
            y = source.new_empty(_size(source, block))
            job = Job(
                source.data_ptr(),
                depthwise.data_ptr(),
                pointwise.data_ptr(),
                None if prologue is None else prologue.data_ptr(),
                y.data_ptr(),
                sums.data_ptr(),
                *_kernel(block),
            )
            call("forward", source, block.depthwise.stride[0], [job])
            mean, variance = _moments(sums, y)
            _update(block.norm, mean, variance, y)
            rstd = (variance + block.norm.eps).rsqrt()
            scale = gamma.double() * rstd
            prologue = torch.stack([scale, beta.double() - mean * scale])
            maps.append(y)
            moments += [mean, rstd, prologue]
        assert prologue is not None, "there is a block"
        out = torch.empty_like(maps[-1])
        call("combine", out, 1, [term(maps[-1], out, prologue[0].data_ptr(), prologue[1].data_ptr())])
        ctx.save_for_backward(*maps, *moments, *weights)
        ctx.blocks = blocks
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the input and of all parameters.

        With u = (y - mean) * rstd and n pixels, BatchNorm passes on
        dL/dy = gamma * rstd * (g - sum(g) / n - u * sum(g * u) / n).
        """
        blocks, saved = ctx.blocks, ctx.saved_tensors
        maps, rest = saved[: len(blocks) + 1], saved[len(blocks) + 1 :]
        moments, weights = rest[: 3 * len(blocks)], rest[3 * len(blocks) :]
        grads: list[Tensor] = []
        grad = grad.permute(0, 2, 3, 1).contiguous()
        one = torch.ones(grad.shape[3], dtype=torch.float64)
        for index in reversed(range(len(blocks))):
            block, source, y = blocks[index], maps[index], maps[index + 1]
            mean, rstd, _ = moments[3 * index : 3 * (index + 1)]
            depthwise, pointwise, gamma, _ = weights[LAYERS * index : LAYERS * (index + 1)]
            sums, offset = one.new_empty(2, len(one)), -mean * rstd
            terms = [
                term(y, grad, rstd.data_ptr(), offset.data_ptr()),
                Term(None, None, one.data_ptr(), 0, grad.data_ptr(), pixel_stride(grad)),
            ]
            call("dots", grad, 1, terms, sums)
            products, total = sums
            scale = gamma.double() * rstd
            share = scale / (y.numel() // y.shape[3])
            epilogue = torch.stack([scale, -share * products * rstd, -share * (total + products * offset)])
            grad_x = torch.empty_like(source)
            grad_depthwise, grad_pointwise = torch.empty_like(depthwise), torch.empty_like(pointwise)
            job = Job(
                source.data_ptr(),
                depthwise.data_ptr(),
                pointwise.data_ptr(),
                moments[3 * index - 1].data_ptr() if index else None,
                y.data_ptr(),
                None,
                *_kernel(block),
                grad.data_ptr(),
                epilogue.data_ptr(),
                grad_x.data_ptr(),
                grad_depthwise.data_ptr(),
                grad_pointwise.data_ptr(),
                pixel_stride(grad),
                pixel_stride(grad_x),
                0,
            )
            call("backward", source, block.depthwise.stride[0], [job])
            own = [grad_depthwise, grad_pointwise, products.to(gamma.dtype), total.to(gamma.dtype)]
            grads, grad = [*own, *grads], grad_x
        return grad.permute(0, 3, 1, 2), None, *grads


def _kernel(block: Block) -> tuple[int, int]:
    """Kernel and dilation of the depthwise convolution."""
    return block.depthwise.kernel_size[0], block.depthwise.dilation[0]


def _size(x: Tensor, block: Block) -> tuple[int, int, int, int]:
    """Size of a block's output for an input [B, H, W, C]."""
    batch, height, width, channels = x.shape
    stride = block.depthwise.stride[0]
    return batch, -(-height // stride), -(-width // stride), channels


def _moments(sums: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel of `y` [B, H, W, C], from sums and sums of squares [2, C]."""
    pixels = y.numel() // y.shape[3]
    mean = sums[0] / pixels
    return mean, (sums[1] / pixels - mean.square()).clamp_min(0)


def _update(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, y: Tensor) -> None:
    """Update running statistics as torch does, with the unbiased variance."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    assert norm.momentum is not None, "callers ask first"
    pixels = y.numel() // y.shape[3]
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    norm.running_var.lerp_((variance * pixels / (pixels - 1)).to(norm.running_var.dtype), norm.momentum)
