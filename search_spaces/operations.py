"""The candidate operations and the blocks around them (Liu, Simonyan, Yang, ICLR 2019, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.errors import unknown
from search_spaces.genotype import KNOWN
from search_spaces.pooling import AveragePool


class FactorizedReduce(nn.Module):
    """Halve the size with two 1x1 convolutions, one of the even and one of the odd pixels.

    [B, in_channels, H, W] -> [B, out_channels, ceil(H / 2), ceil(W / 2)]. The convolutions have stride 2 in
    the literature; here their inputs are thinned out before the ReLU, which is the same in less time.
    """

    def __init__(self, in_channels: int, out_channels: int, affine: bool = True) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.conv2 = nn.Conv2d(in_channels, out_channels - half, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """ReLU and the two 1x1 convolutions, before BatchNorm; the shapes are those of `forward`."""
        even, odd = pixels_by_parity(x)
        return torch.cat([self.conv1(torch.relu(even)), self.conv2(torch.relu(odd))], dim=1)


class Noise(nn.Module):
    """Standard normal noise in place of the input, in evaluation too: what no architecture should choose.

    [B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)], drawn anew in every pass, without a gradient
    (Zela et al., ICLR 2020, section 3; github.com/automl/RobustDARTS, src/operations.py, lines 26 to 39).
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.randn_like(x[..., :: self.stride, :: self.stride])


def pixels_by_parity(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels of x [..., H, W] in even rows and columns, and those in odd rows and columns.

    Both are [..., ceil(H / 2), ceil(W / 2)], padded with zeros. There is no branch on the size, for torch.fx,
    and all names are torch's, for TorchScript.
    """
    odd = torch.nn.functional.pad(x[..., 1::2, 1::2], (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
    return x[..., ::2, ::2], odd


def relu_conv_bn(
    in_channels: int, out_channels: int, affine: bool = True, kernel: int = 1, stride: int = 1
) -> nn.Sequential:
    """ReLU, convolution, BatchNorm: [B, in_channels, H, W] -> [B, out_channels, H / stride, W / stride].

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        affine: whether BatchNorm has a learned scale and shift.
        kernel: height and width of the kernel; odd.
        stride: stride of the convolution.
    """
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels, affine=affine),
    )


def preprocess(in_channels: int, channels: int, follows_reduction: bool, affine: bool = True) -> nn.Module:
    """Map a cell's input to the width of the cell; behind a reduction cell, halve its size as well."""
    if follows_reduction:
        return FactorizedReduce(in_channels, channels, affine)
    return relu_conv_bn(in_channels, channels, affine)


def _depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


def _sep_conv(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        _depthwise(channels, kernel, stride),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
        nn.ReLU(),
        _depthwise(channels, kernel, 1),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def _dil_conv(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        _depthwise(channels, kernel, stride, dilation=2),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


def operation(name: str, channels: int, stride: int, affine: bool = True) -> nn.Module:
    """Build an operation: [B, channels, H, W] -> [B, channels, ceil(H / stride), ceil(W / stride)].

    Args:
        name: one of `KNOWN`.
        channels: channels of the input and of the output.
        stride: 1 or 2.
        affine: whether BatchNorm has a learned scale and shift; not during a search.

    Raises:
        UserError: the name is not one of `KNOWN`.
    """
    if name not in KNOWN:
        raise unknown("operation", name, KNOWN)
    if name == "noise":
        return Noise(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    family, kernel = name.rsplit("_", 1)[0], int(name[-1])
    if family == "max_pool":
        return nn.MaxPool2d(kernel, stride, padding=1)
    if family == "avg_pool":
        return AveragePool(kernel, stride)
    return (_sep_conv if family == "sep_conv" else _dil_conv)(channels, kernel, stride, affine)
