"""Cells of a final network while it trains on a CPU, with the loops of the search-time cell.

On a CPU torch needs up to forty times as long for the backward pass of a dilated or 5x5 depthwise convolution
as for its forward pass, and BatchNorm's backward pass takes a quarter of a step. Here ReLU, both convolutions
and BatchNorm are a few calls of compiled loops.
Results are the same up to rounding. The network stays what it is: the same layers under the same names, and
plain torch in evaluation, on other devices and when compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

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
from search_spaces.cells.compiled.kernels import Job, call, pixel_stride
from search_spaces.cells.compiled.pointwise import preprocess_by_loops
from search_spaces.network import FinalCell
from search_spaces.operations import FactorizedReduce
from search_spaces.reduction import ChannelsLastReduce

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
        stride = blocks[0].depthwise.stride[0]
        pixels = x.shape[0] * -(-x.shape[2] // stride) * -(-x.shape[3] // stride)
        norms = [block.norm for block in blocks]
        if not trains_by_loops(x, blocks[0].depthwise, norms, pixels):
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


def use_loops(network: nn.Module) -> None:
    """Let a final network's cells train through compiled loops on a CPU, in place.

    Parameters, buffers and their names stay the same. Networks of other operations are left as they are.
    """
    for cell in network.modules():
        if isinstance(cell, FinalCell):
            preprocess_by_loops(cell)
            for index, operation in enumerate(cell.operations):
                if type(operation) is FactorizedReduce:
                    cell.operations[index] = ChannelsLastReduce(operation)
                if _is_separable(operation):
                    cell.operations[index] = SeparableConvs(*operation)


def _is_separable(operation: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether an operation is one or two separable convolutions, whose BatchNorm has a scale and a shift."""
    if type(operation) is not nn.Sequential or type(operation[-1]) is not nn.BatchNorm2d:
        return False
    return all(norm.affine for norm in operation if isinstance(norm, nn.BatchNorm2d))


class _Loops(torch.autograd.Function):
    """ReLU, depthwise convolution, pointwise convolution, BatchNorm; once, or twice in a row.

    No map is stored after BatchNorm, which is a scale and a shift per channel: what reads the map applies it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: list[Block], *parameters: Tensor) -> Tensor:
        """Run the blocks, and update the running statistics of their BatchNorm."""
        maps, found = [channels_last(x)], list[Moments]()
        weights = [parameter.detach().contiguous() for parameter in parameters]
        for index, block in enumerate(blocks):
            depthwise, pointwise, gamma, beta = weights[LAYERS * index : LAYERS * (index + 1)]
            source, sums = maps[-1], x.new_empty(2, x.shape[1], dtype=torch.float64)
            y = source.new_empty(_size(source, block))
            job = Job(
                source.data_ptr(),
                depthwise.data_ptr(),
                pointwise.data_ptr(),
                found[-1].affine.data_ptr() if found else None,
                y.data_ptr(),
                sums.data_ptr(),
                *_kernel(block),
            )
            call("forward", source, block.depthwise.stride[0], [job])
            found.append(moments(sums, y, block.norm, gamma, beta))
            maps.append(y)
        ctx.save_for_backward(*maps, *(tensor for own in found for tensor in own), *weights)
        ctx.blocks = blocks
        return normalized(maps[-1], found[-1].affine).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the input and of all parameters."""
        blocks, saved = ctx.blocks, ctx.saved_tensors
        maps, rest = saved[: len(blocks) + 1], saved[len(blocks) + 1 :]
        found = [Moments(*rest[3 * index : 3 * (index + 1)]) for index in range(len(blocks))]
        weights, grads = rest[3 * len(blocks) :], list[Tensor]()
        grad = channels_last(grad)
        for index in reversed(range(len(blocks))):
            block, source, y = blocks[index], maps[index], maps[index + 1]
            depthwise, pointwise, gamma, _ = weights[LAYERS * index : LAYERS * (index + 1)]
            back = backward(y, grad, found[index])
            grad_x = torch.empty_like(source)
            grad_depthwise, grad_pointwise = torch.empty_like(depthwise), torch.empty_like(pointwise)
            job = Job(
                source.data_ptr(),
                depthwise.data_ptr(),
                pointwise.data_ptr(),
                found[index - 1].affine.data_ptr() if index else None,
                y.data_ptr(),
                None,
                *_kernel(block),
                grad.data_ptr(),
                back.epilogue.data_ptr(),
                grad_x.data_ptr(),
                grad_depthwise.data_ptr(),
                grad_pointwise.data_ptr(),
                pixel_stride(grad),
                pixel_stride(grad_x),
                0,
            )
            call("backward", source, block.depthwise.stride[0], [job])
            own = [grad_depthwise, grad_pointwise, back.gamma.to(gamma.dtype), back.beta.to(gamma.dtype)]
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
