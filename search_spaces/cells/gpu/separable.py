"""What the separable convolutions of a wave add to its nodes, on a GPU: one pass of a few Triton kernels.

All candidates of all edges of a wave go through the kernels together. Of a map, only what a convolution
computes is written; ReLU and BatchNorm are computed as the next kernel reads it, in both directions.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.cells.compiled.layout import FIRST, KERNELS, SECOND

_logger = logging.getLogger(__name__)

DILATED = (4, 5)
"""The maps of dilated convolutions, in the order of `KERNELS`."""


class Norm(NamedTuple):
    """Mean and 1 / standard deviation of every channel of a wide map, [channels] each."""

    means: Tensor
    scales: Tensor


class Wave(NamedTuple):
    """What the pass through a wave needs, but for tensors that may need a gradient.

    Attributes:
        states: number of states that its edges leave.
        nodes: number of nodes that they enter.
        stride: stride of its edges.
        channels: channels of a state that are convolved.
        epsilon: that of its BatchNorms.
        norms: statistics to normalize the first and the last maps by; None: those of the batch.
        batches: memory for means and variances of the batch, of the first and last maps, [2, channels] each.
    """

    states: int
    nodes: int
    stride: int
    channels: int
    epsilon: float
    norms: tuple[Norm, Norm] | None
    batches: tuple[Tensor, Tensor]


@functools.cache
def _kernels() -> Any:
    """The kernels; None where Triton is not installed."""
    try:
        from search_spaces.cells.gpu import kernels  # only where a GPU is used: it imports Triton
    except ImportError:
        _logger.warning("Triton is not installed: the search-time cell runs in plain torch, which is slower")
        return None
    _logger.warning("compiling the search-time cell for this GPU: half a minute, unless Triton has cached it")
    return kernels


def usable(x: Tensor) -> bool:
    """Whether the kernels support the device and the dtype of a map."""
    types = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    return x.device.type == "cuda" and x.dtype in types and _kernels() is not None


def add_separable(
    wave: Wave,
    x: Tensor,
    nodes: Tensor | None,
    depthwise: list[Tensor],
    pointwise: list[Tensor],
    weights: Tensor,
) -> Tensor:
    """Add the separable and dilated convolutions of all edges of a wave to its nodes.

    Args:
        wave: what is computed.
        x: the states before their ReLU, [B, H, W, states * channels].
        nodes: the nodes so far, [nodes, B, H / stride, W / stride, channels]; None: zeros.
        depthwise: weights by map, in the order of `KERNELS`, [edges * channels, 1, kernel, kernel] each.
        pointwise: weights of the first maps, [2 * edges * channels, channels, 1, 1], and of the last, 4 for
            each edge.
        weights: weight of the candidate by channel of the last maps, [4 * edges * channels].

    Returns:
        The nodes.
    """
    if x.is_cuda and torch.is_autocast_enabled("cuda"):
        x = x.to(torch.get_autocast_dtype("cuda"))
    found: Tensor = _Separable.apply(wave, x.contiguous(), nodes, weights, *pointwise, *depthwise)
    return found


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, wave: Wave, x: Tensor, nodes: Tensor | None, weights: Tensor, *convolutions: Tensor
    ) -> Tensor:
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            run = _Pass(wave, x, convolutions[:2], convolutions[2:])
            norms, maps = run.convolve()
            result = run.into_nodes(maps[-1], norms[1], weights, nodes)
        ctx.wave, ctx.dtype = wave, None if nodes is None else nodes.dtype
        ctx.save_for_backward(x, weights, *convolutions, *norms[0], *norms[1], *maps)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, *tensors = ctx.saved_tensors
        convolutions, (mean, scale, *last), maps = tensors[:8], tensors[8:12], tensors[12:]
        _, needs_x, needs_nodes, _, *needed = ctx.needs_input_grad
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            run = _Pass(ctx.wave, x, convolutions[:2], convolutions[2:])
            norms = Norm(mean, scale), Norm(*last)
            grads = run.backward(grad.contiguous(), maps, norms, weights, needs_x, needed)
        return None, grads[0], grad.to(ctx.dtype) if needs_nodes else None, *grads[1:]


class _Pass:
    """The kernels of a wave, with their sizes."""

    def __init__(self, wave: Wave, x: Tensor, pointwise: Any, depthwise: Any) -> None:
        self.wave, self.x, self.pointwise_weights, self.weights = wave, x, pointwise, depthwise
        images, height, width, _ = x.shape
        self.out = images, -(-height // wave.stride), -(-width // wave.stride)
        self.edges = wave.states * wave.nodes
        self.block = min(64, _power_of_two(max(wave.channels, 16)))
        self.sum = torch.promote_types(x.dtype, torch.float32)
        allows = torch.backends.cudnn.allow_tf32 and x.dtype == torch.float32
        self.precision = "tf32" if allows else "ieee"
        self.kernels = _kernels()
        self.common = {"SUM": _triton_type(self.sum), "CHANNELS": self.block}

    def convolve(self) -> tuple[tuple[Norm, Norm], list[Tensor]]:
        """Statistics of the first and last maps; what was convolved by depthwise and 1x1, of both."""
        wave = self.wave
        middle = self.new_map(2)
        for place, index in enumerate(FIRST):
            self.depthwise(index, self.x, middle, place, None)
        first, first_norm = self.pointwise(middle, 0)
        wide = self.new_map(4)
        for place, index in enumerate(SECOND):
            self.depthwise(index, first, wide, place, first_norm, start=place)
        for place, index in enumerate(DILATED):
            self.depthwise(index, self.x, wide, len(SECOND) + place, None)
        last, last_norm = self.pointwise(wide, 1)
        norms = (first_norm, last_norm) if wave.norms is None else wave.norms
        return norms, [middle, first, wide, last]

    def new_map(self, maps: int) -> Tensor:
        """An empty wide map with some maps of every edge."""
        return self.x.new_empty((*self.out, maps * self.edges * self.wave.channels))

    def depthwise(
        self, index: int, x: Tensor, y: Tensor, place: int, norm: Norm | None, start: int = 0
    ) -> None:
        """Write a depthwise convolution of every edge, of states or of maps of each edge."""
        wave, (kernel, dilation) = self.wave, KERNELS[index]
        pixels, out = y.shape[0] * y.shape[1] * y.shape[2], y.shape
        group = self.edges * wave.channels
        block = 2048 // self.block
        means, scales = norm or (x, x)
        self.kernels.depthwise[self.grid(pixels, block, self.edges)](
            x, self.weights[index], y, means, scales,
            pixels, *x.shape[1:3], *out[1:3], wave.stride if norm is None else 1, dilation, wave.channels,
            wave.nodes if norm is None else 1, x.shape[3], start * group, y.shape[3], place * group,
            KERNEL=kernel, IS_NORMALIZED=norm is not None, PIXELS=block, **self.common,
        )  # fmt: skip

    def pointwise(self, x: Tensor, which: int) -> tuple[Tensor, Norm]:
        """The 1x1 convolutions of a wide map, and the statistics that normalize what they compute."""
        wave, y = self.wave, torch.empty_like(x)
        pixels, wide = y.numel() // y.shape[3], y.shape[3]
        block = self.pixels_of_product()
        blocks = -(-pixels // block)
        is_training = wave.norms is None
        sums = x.new_empty((blocks, 2, wide) if is_training else (0,), dtype=self.sum)
        self.kernels.pointwise[self.grid(pixels, block, wide // wave.channels)](
            x, self.pointwise_weights[which], y, sums, x, sums, sums,
            pixels, wave.channels, wide, 1, wave.channels, 1,
            IS_GRAD=False, HAS_NODES=False, HAS_SUMS=is_training, PRECISION=self.precision,
            PIXELS=block, num_stages=1, **self.common,
        )  # fmt: skip
        if wave.norms is not None:
            return y, wave.norms[which]
        norm, (means, variances) = Norm(*sums.new_empty((2, wide))), wave.batches[which]
        self.kernels.statistics[(-(-wide // 32),)](
            sums, *norm, means, variances, wave.epsilon, pixels, block, blocks, wide,
            BLOCKS=64, CHANNELS=32, SUM=_triton_type(self.sum),
        )  # fmt: skip
        return y, norm

    def into_nodes(self, x: Tensor, norm: Norm, weights: Tensor, given: Tensor | None) -> Tensor:
        """The nodes with the normalized maps of x, times their weights."""
        wave, (images, height, width) = self.wave, self.out
        dtype = x.dtype if given is None else given.dtype
        shape = (wave.nodes, images, height, width, wave.channels)
        nodes = torch.empty(shape, dtype=dtype, device=x.device)
        given = None if given is None else given.contiguous()
        pixels, block = images * height * width, 2048 // self.block
        self.kernels.into_nodes[self.grid(pixels, block, wave.nodes)](
            x, *norm, weights, nodes if given is None else given, nodes,
            pixels, wave.channels, x.shape[3], wave.nodes, 4 * wave.states,
            HAS_GIVEN=given is not None, PIXELS=block, **self.common,
        )  # fmt: skip
        return nodes

    def backward(
        self,
        grad: Tensor,
        maps: list[Tensor],
        norms: tuple[Norm, Norm],
        weights: Tensor,
        needs_x: bool,
        needed: list[bool],
    ) -> list[Tensor | None]:
        """Gradients by x, `weights`, both 1x1 and the six depthwise convolutions; None where not needed."""
        middle, first, wide, last = maps
        needs_pointwise, needs_depthwise = needed[:2], any(needed[2:])
        factors, weight_grad = self.through_last(grad, last, norms[1], weights)
        through = (last, grad, norms[1], factors)
        wide_grad = self.pointwise_input(1, *through)
        of_pointwise = [
            None,
            self.pointwise_weight(wide, *through) if needs_pointwise[1] else None,
        ]
        first_grad = torch.empty_like(first)
        pixels, block = middle.numel() // middle.shape[3], 2048 // self.block
        sums = first.new_empty((-(-pixels // block), 2, first.shape[3]), dtype=self.sum)
        of_weights = self.new_weight_sums(pixels)
        for place, index in enumerate(SECOND):
            self.depthwise_input(index, wide_grad, place, first, first_grad, norms[0], sums, start=place)
            if needs_depthwise:
                self.depthwise_weight(of_weights, index, first, wide_grad, place, norms[0], start=place)
        factors, _ = self.factors(sums, norms[0], None, pixels)
        through = (first, first_grad, norms[0], factors)
        middle_grad = self.pointwise_input(0, *through)
        if needs_pointwise[0]:
            of_pointwise[0] = self.pointwise_weight(middle, *through)
        x_grad = torch.empty_like(self.x) if needs_x else None
        readers = [(index, middle_grad, place) for place, index in enumerate(FIRST)]
        readers += [(index, wide_grad, len(SECOND) + place) for place, index in enumerate(DILATED)]
        for turn, (index, given, place) in enumerate(readers):
            if x_grad is not None:
                is_last = turn == len(readers) - 1
                self.depthwise_input(
                    index, given, place, self.x, x_grad, None, None, is_added=turn > 0, is_last=is_last
                )
            if needs_depthwise:
                self.depthwise_weight(of_weights, index, self.x, given, place, None)
        of_depthwise = self.added(of_weights) if needs_depthwise else [None] * len(KERNELS)
        return [x_grad, weight_grad, *of_pointwise, *of_depthwise]

    def through_last(
        self, grad: Tensor, x: Tensor, norm: Norm, weights: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Factors of the gradient by the last maps, from that by the nodes, and gradient by the weights."""
        wave, wide = self.wave, x.shape[3]
        pixels, block = x.numel() // wide, 2048 // self.block
        chunk, chunks = _chunks(pixels, block)
        sums = x.new_empty((chunks, 2, wide), dtype=self.sum)
        grid = (chunks, wide // wave.channels, -(-wave.channels // self.block))
        self.kernels.node_sums[grid](
            x, norm.means, grad, sums, pixels, chunk, wave.channels, wide, wave.nodes,
            PIXELS=block, **self.common,
        )  # fmt: skip
        return self.factors(sums, norm, weights, pixels)

    def factors(
        self, sums: Tensor, norm: Norm, weights: Tensor | None, pixels: int
    ) -> tuple[Tensor, Tensor | None]:
        """What the gradient by the input of a BatchNorm is made of, [3, channels]; that by its weights."""
        blocks, _, wide = sums.shape
        factors = sums.new_empty((3, wide))
        weight_grad = None if weights is None else torch.empty_like(weights)
        self.kernels.grad_factors[(-(-wide // 32),)](
            sums, norm.scales, sums if weights is None else weights, factors,
            sums if weight_grad is None else weight_grad, pixels, blocks, wide,
            HAS_WEIGHTS=weights is not None, IS_TRAINING=self.wave.norms is None, BLOCKS=64, CHANNELS=32,
            SUM=_triton_type(self.sum),
        )  # fmt: skip
        return factors, weight_grad

    def pointwise_input(self, which: int, x: Tensor, grad: Tensor, norm: Norm, factors: Tensor) -> Tensor:
        """Gradient by what a 1x1 convolution took, from that behind its BatchNorm."""
        wave, found = self.wave, torch.empty_like(x)
        pixels, wide = x.numel() // x.shape[3], x.shape[3]
        block = self.pixels_of_product()
        self.kernels.pointwise[self.grid(pixels, block, wide // wave.channels)](
            x, self.pointwise_weights[which], found, factors, grad, norm.means, factors,
            pixels, wave.channels, wide, wave.nodes, 1, wave.channels,
            IS_GRAD=True, HAS_NODES=which == 1, HAS_SUMS=False, PRECISION=self.precision,
            PIXELS=block, num_stages=1, **self.common,
        )  # fmt: skip
        return found

    def pointwise_weight(self, z: Tensor, x: Tensor, grad: Tensor, norm: Norm, factors: Tensor) -> Tensor:
        """Gradient by the weights of the 1x1 convolution of z."""
        wave, has_nodes = self.wave, grad.ndim == 5
        pixels, wide = x.numel() // x.shape[3], x.shape[3]
        units, blocks = wide // wave.channels, -(-wave.channels // self.block)
        chunk, chunks = _chunks(pixels, 64, most=max(1, 4096 // (units * blocks**2)))
        sums = x.new_empty((chunks, units * wave.channels, wave.channels, 1, 1), dtype=self.sum)
        self.kernels.pointwise_weight[(chunks, units, blocks**2)](
            z, x, grad, norm.means, factors, sums, pixels, chunk, wave.channels, wide, wave.nodes,
            HAS_NODES=has_nodes, PRECISION=self.precision, PIXELS=64, num_stages=2, **self.common,
        )  # fmt: skip
        return sums.sum(0).to(self.pointwise_weights[0].dtype)

    def depthwise_input(
        self,
        index: int,
        grad: Tensor,
        place: int,
        x: Tensor,
        x_grad: Tensor,
        norm: Norm | None,
        sums: Tensor | None,
        *,
        start: int = 0,
        is_added: bool = False,
        is_last: bool = True,
    ) -> None:
        """Write, or add, the gradient by what a depthwise convolution of every edge reads."""
        wave, (kernel, dilation) = self.wave, KERNELS[index]
        pixels, group = x.numel() // x.shape[3], self.edges * wave.channels
        block = 2048 // self.block
        states, copies = (wave.states, wave.nodes) if norm is None else (self.edges, 1)
        self.kernels.depthwise_input[self.grid(pixels, block, states)](
            grad, self.weights[index], x, x if norm is None else norm.means, x_grad,
            x if sums is None else sums,
            pixels, *x.shape[1:3], *grad.shape[1:3], wave.stride if norm is None else 1, dilation,
            wave.channels, copies, grad.shape[3], place * group, x.shape[3], start * group,
            int(is_added), int(is_last),
            KERNEL=kernel, IS_NORMALIZED=norm is not None, PIXELS=block, **self.common,
        )  # fmt: skip

    def depthwise_weight(
        self, sums: Tensor, index: int, x: Tensor, grad: Tensor, place: int, norm: Norm | None, start: int = 0
    ) -> None:
        """Write the gradient by the weights of a depthwise convolution of every edge, chunk by chunk."""
        wave, (kernel, dilation) = self.wave, KERNELS[index]
        pixels, group, block = grad.numel() // grad.shape[3], self.edges * wave.channels, 1024 // self.block
        chunk, chunks = _chunks(pixels, block)
        means, scales = norm or (x, x)
        before = sum(weight.numel() for weight in self.weights[:index])
        self.kernels.depthwise_weight[(chunks, self.edges * -(-wave.channels // self.block), kernel)](
            x, grad, means, scales, sums,
            pixels, chunk, *x.shape[1:3], *grad.shape[1:3], wave.stride if norm is None else 1, dilation,
            wave.channels, wave.nodes if norm is None else 1, x.shape[3], start * group, grad.shape[3],
            place * group, sums.shape[1], before, KERNEL=kernel, IS_NORMALIZED=norm is not None,
            PIXELS=block, **self.common,
        )  # fmt: skip

    def new_weight_sums(self, pixels: int) -> Tensor:
        """An empty row of each chunk of pixels, of gradients by all weights of depthwise convolutions."""
        chunks = _chunks(pixels, 1024 // self.block)[1]
        return self.x.new_empty((chunks, sum(weight.numel() for weight in self.weights)), dtype=self.sum)

    def added(self, sums: Tensor) -> list[Tensor | None]:
        """The gradients by the weights of the depthwise convolutions, from those of each chunk."""
        parts = torch.split(sums.sum(0), [weight.numel() for weight in self.weights])
        return [part.view_as(one).to(one.dtype) for part, one in zip(parts, self.weights, strict=True)]

    def pixels_of_product(self) -> int:
        """Pixels of a block of matrix products."""
        return 64 if self.block == 64 else 128

    def grid(self, pixels: int, block: int, units: int) -> tuple[int, int, int]:
        """Programs by blocks of pixels, units, and blocks of their channels."""
        return -(-pixels // block), units, -(-self.wave.channels // self.block)


def _chunks(pixels: int, block: int, most: int = 64) -> tuple[int, int]:
    """Pixels of a chunk, whole blocks of them, and the number of chunks."""
    blocks = -(-pixels // block)
    chunk = -(-blocks // min(blocks, most)) * block
    return chunk, -(-pixels // chunk)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl  # see _kernels

    return {torch.float32: tl.float32, torch.float64: tl.float64}[dtype]
