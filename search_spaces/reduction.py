"""`FactorizedReduce` while it trains on a CPU, in the channels-last layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from search_spaces.operations import FactorizedReduce, pixels_by_parity


class ChannelsLastReduce(FactorizedReduce):
    """A `FactorizedReduce` whose backward pass on a CPU stays in the channels-last layout.

    The backward pass of torch's slices returns maps in contiguous (NCHW) layout, and every operation that
    reads them takes two to three times as long. The gradient of the input is the same.
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
        grad_x = torch.empty(
            ctx.size, dtype=grads[0].dtype, device=grads[0].device, memory_format=torch.channels_last
        ).zero_()
        for first, (grad, active) in enumerate(zip(grads, ctx.saved_tensors, strict=True)):
            to = grad_x[..., first::2, first::2]
            inside = (..., slice(to.shape[2]), slice(to.shape[3]))  # without the padding
            torch.ops.aten.threshold_backward.grad_input(grad[inside], active[inside], 0, grad_input=to)
        return grad_x
