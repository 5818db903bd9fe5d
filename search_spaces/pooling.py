"""Average pooling of windows that reach beyond the map, with the right gradient on every device."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad


class AveragePool(nn.AvgPool2d):
    """`average_pool` as a module.

    Args:
        kernel: height and width of a window.
        stride: distance of two windows.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride, padding=1, count_include_pad=False)
        self._sizes = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)] for a kernel of 3."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return avg_pool2d(x, self.kernel_size, self.stride, 1, count_include_pad=False)
        return average_pool(x, *self._sizes)


def average_pool(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Means over windows that reach one pixel beyond the map, of the pixels inside it.

    On an NVIDIA GPU, a channels-last map is padded by an operation of its own: torch's gradient of an average
    pooling with padding is wrong there (https://github.com/pytorch/pytorch/issues/188344, torch 2.11).

    Args:
        x: map [B, C, H, W].
        kernel: height and width of a window.
        stride: distance of two windows.
    """
    if not _pads_itself(x):
        return avg_pool2d(x, kernel, stride, 1, count_include_pad=False)
    factors = _of_pixels_inside(*x.shape[2:], kernel, stride, x.dtype, x.device)
    return avg_pool2d(pad(x, (1, 1, 1, 1)), kernel, stride) * factors


def _pads_itself(x: Tensor) -> bool:
    """Whether this is such a map; torch.fx traces the network with what is no tensor."""
    return isinstance(x, Tensor) and x.is_cuda and not x.is_contiguous()


@functools.lru_cache(maxsize=64)
def _of_pixels_inside(
    height: int, width: int, kernel: int, stride: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Pixels of a window over those of them inside the map, [1, 1, out_height, out_width]."""
    inside = avg_pool2d(torch.ones(1, 1, height, width), kernel, stride, 1)
    return (1 / inside).to(device, dtype)
