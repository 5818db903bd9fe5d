"""Cells of a final network while it trains on a CPU, with the loops of the search-time cell.

On a CPU torch needs up to forty times as long for the backward pass of a dilated or 5x5 depthwise convolution
as for its forward pass, and BatchNorm's backward pass takes a quarter of a step. Here ReLU, both convolutions
and BatchNorm are a few calls of compiled loops, and reductions keep gradients in the channels-last layout.
Results are the same up to rounding. The network stays what it is: the same layers under the same names, and
plain torch in evaluation, on other devices and when compiled.
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
from search_spaces.operations import FactorizedReduce, pixels_by_parity

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


class ChannelsLastReduce(FactorizedReduce):
    """A `FactorizedReduce` whose backward pass on a CPU stays in the channels-last layout.

    That of torch's slices returns contiguous maps, and whatever adds or reads them takes two to three times
    as long. The gradient of the input is the same.
    """

    def __init__(self, layers: FactorizedReduce) -> None:
        nn.Module.__init__(self)
        self.conv1, self.conv2, self.bn = layers.conv1, layers.conv2, layers.bn

    def convolve(self, x: Tensor) -> Tensor:
        is_trained = self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if not is_trained or x.device.type != "cpu":
            return super().convolve(x)
        even, odd = _ByParity.apply(x)
        return torch.cat([self.conv1(even), self.conv2(odd)], dim=1)


def use_loops(network: nn.Module) -> None:
    """Let a final network's cells train through compiled loops on a CPU, in place.

    Parameters, buffers and their names stay the same. Networks of other operations are left as they are.
    """
    for cell in network.modules():
        if isinstance(cell, FinalCell):
            if type(cell.preprocess0) is FactorizedReduce:
                cell.preprocess0 = ChannelsLastReduce(cell.preprocess0)
            for index, operation in enumerate(cell.operations):
                if type(operation) is FactorizedReduce:
                    cell.operations[index] = ChannelsLastReduce(operation)
                if type(operation) is nn.Sequential and type(operation[-1]) is nn.BatchNorm2d:
                    cell.operations[index] = SeparableConvs(*operation)


class _ByParity(torch.autograd.Function):
    """ReLU of the pixels of x [B, C, H, W] in even rows and columns, and of those in odd ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both are [B, C, ceil(H / 2), ceil(W / 2)], padded with zeros."""
        even, odd = (torch.relu(part) for part in pixels_by_parity(x))
        ctx.save_for_backward(even, odd)
        ctx.size = x.shape
        return even, odd

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient of x, which is 0 in even rows with odd columns and in odd rows with even columns."""
        grad_x = torch.empty(ctx.size, dtype=grads[0].dtype, memory_format=torch.channels_last).zero_()
        for first, (grad, active) in enumerate(zip(grads, ctx.saved_tensors, strict=True)):
            to = grad_x[..., first::2, first::2]
            inside = (..., slice(to.shape[2]), slice(to.shape[3]))  # without the padding
            torch.ops.aten.threshold_backward.grad_input(grad[inside], active[inside], 0, grad_input=to)
        return grad_x


class _Loops(torch.autograd.Function):
    """ReLU, depthwise convolution, pointwise convolution, BatchNorm; once, or twice in a row.

    No map is stored after BatchNorm, which is a scale and a shift per channel: what reads the map applies it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: list[Block], *parameters: Tensor) -> Tensor:
        """Run the blocks, and update the running statistics of their BatchNorm."""
        maps, moments = [_channels_last(x)], []
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
        grad = _channels_last(grad)
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


def _channels_last(x: Tensor) -> Tensor:
    """Change x [B, C, H, W] to [B, H, W, C]; it is copied if its pixels do not lie at equal distances.

    The gradient of a node, for one, is some channels of the gradient of the cell's output.
    """
    x = x.permute(0, 2, 3, 1)
    pixel = pixel_stride(x)
    wanted = (x.shape[1] * x.shape[2] * pixel, x.shape[2] * pixel, pixel, 1)
    axes = zip(x.shape, x.stride(), wanted, strict=True)
    return x if all(size == 1 or stride == want for size, stride, want in axes) else x.contiguous()


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
