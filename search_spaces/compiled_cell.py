"""A search-time cell as one autograd function over compiled loops: how `FastCell` runs on a CPU.

Maps lie in memory with their channels last. For every state, the six separable convolutions of each of its
outgoing edges (two in a sep_conv, one in a dil_conv) and both poolings are kept as they are before BatchNorm,
which is applied wherever they are read: it is but a scale and a shift a channel. Its backward pass is linear
in the gradient, the map and 1, with coefficients that follow from two sums a channel:
for z = w * u, u = s * y + t, n pixels,

    dL/dy = w * s * (g - sum(g) / n - u * sum(g * u) / n),    dL/dw = sum over channels of sum(g * u).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from search_spaces.genotype import CONCAT, EDGES, INPUTS
from search_spaces.kernels import Job, Term, call

if TYPE_CHECKING:
    from search_spaces.mixed_cell import MixedCell


class Outgoing(NamedTuple):
    """An edge that leaves a state: the node that it leads to, and its row in the weights."""

    node: int
    edge: int


OUTGOING = [
    [Outgoing(node, sum(range(INPUTS, node)) + state) for node in CONCAT if node > state]
    for state in range(CONCAT[-1])
]
"""The edges that leave each state which has any."""

KERNELS = ((3, 1), (5, 1), (3, 1), (5, 1), (3, 2), (5, 2))
"""Kernel and dilation of an edge's convolutions: both sep_convs' first, both their second, both dil_convs."""

ON_STATE, FIRST, SECOND = (0, 1, 4, 5), (0, 1), (2, 3)
"""The convolutions that read the state; those that the second of a sep_conv read; these."""

MAPS = len(KERNELS) + 2
"""What an edge has BatchNorm on: its convolutions, then both poolings. All but `FIRST` go into a node."""

COLUMNS = (4, 5, 6, 7, 1, 2)
SKIP = 3
"""Columns of the weights for the maps that go into a node, and for the skip."""


def run(cell: MixedCell, s0: Tensor, s1: Tensor, recompute: bool) -> Tensor:
    """What the cell makes of its preprocessed inputs [B, C, H, W]: [B, 4 * C, H / stride, W / stride].

    Running statistics are updated in training mode. With `recompute` nothing but the inputs is kept for the
    backward pass.
    """
    candidates = [edge.candidates for edge in cell.edges]
    stride = cell.geometry.stride(0)
    skips = [
        candidates[edge][2](state)
        for state, outgoing in zip((s0, s1), OUTGOING[:INPUTS], strict=True)
        for _, edge in outgoing
        if stride == 2
    ]
    blocks = [_blocks(*edge) for edge in candidates]
    norms = [norm for edge in blocks for *_, norm in edge]
    convolutions = [weight for edge in blocks for *weights, _ in edge for weight in weights]
    result: Any = _Cell.apply(  # type: ignore[no-untyped-call]
        _Static(stride, norms, cell.training, recompute), s0, s1, cell.weights, *skips, *convolutions
    )
    return result


def _blocks(most: Any, mean: Any, skip: Any, sep3: Any, sep5: Any, dil3: Any, dil5: Any) -> list[list[Any]]:
    """Depthwise weight, pointwise weight and BatchNorm of every map of an edge; of poolings BatchNorm only."""
    parts = [sep3[:4], sep5[:4], sep3[4:], sep5[4:], dil3, dil5]
    return [[part[1].weight, part[2].weight, part[3]] for part in parts] + [[most[1]], [mean[1]]]


class _Static(NamedTuple):
    """What a cell has besides tensors."""

    stride: int
    norms: list[nn.BatchNorm2d]
    training: bool
    recompute: bool


class _Maps(NamedTuple):
    """What a state's outgoing edges have made of it.

    Attributes:
        convolutions: before BatchNorm, [edges, 6, B, H', W', C].
        pools: maximum and mean before BatchNorm, [2, B, H', W', C].
        norm: scale and shift of BatchNorm, float64 [edges, 8, 2, C].
    """

    convolutions: Tensor
    pools: Tensor
    norm: Tensor

    def nodeward(self, edge: int) -> list[int]:
        """Addresses of the maps that go into the node at the end of an edge, in the order of `COLUMNS`."""
        return _addresses(self.convolutions[edge])[2:] + _addresses(self.pools)


class _Arguments(NamedTuple):
    """The tensors that go into a cell.

    Attributes:
        inputs: states 0 and 1, [B, H, W, C].
        weights: [14, 8], float64.
        skips: of a reduction cell's edges from states 0 and 1, [B, H / 2, W / 2, C]; else none.
        convolutions: depthwise and pointwise weights, edge by edge.
    """

    inputs: tuple[Tensor, Tensor]
    weights: Tensor
    skips: list[Tensor]
    convolutions: list[Tensor]

    @classmethod
    def of(cls, static: _Static, s0: Tensor, s1: Tensor, weights: Tensor, *rest: Tensor) -> _Arguments:
        count = len(rest) - 2 * len(KERNELS) * EDGES
        return cls(
            (_channels_last(s0), _channels_last(s1)),
            weights.double(),
            [_channels_last(skip) for skip in rest[:count]],
            [weight.contiguous() for weight in rest[count:]],
        )

    def convolution(self, edge: int, index: int) -> tuple[int, int]:
        """Addresses of depthwise and pointwise weights."""
        start = 2 * (edge * len(KERNELS) + index)
        return self.convolutions[start].data_ptr(), self.convolutions[start + 1].data_ptr()

    def skip(self, states: list[Tensor], state: int, index: int) -> Tensor:
        """What the skip of the state's edge `index` adds to its node."""
        if self.skips and state < INPUTS:
            return self.skips[state * len(OUTGOING[0]) + index]
        return states[state]


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _addresses(x: Tensor) -> list[int]:
    """Of x[0], x[1], ..."""
    step = x.stride(0) * x.element_size()
    return [x.data_ptr() + index * step for index in range(len(x))]


def _split(concatenation: Tensor) -> list[Tensor]:
    """The nodes in a cell's output [B, H, W, 4 * C]."""
    return list(concatenation.chunk(len(CONCAT), dim=3))


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, static: _Static, *tensors: Tensor) -> Tensor:
        arguments = _Arguments.of(static, *tensors)
        out, maps = _forward(static, arguments, learns=static.training)
        result = out.permute(0, 3, 1, 2)
        kept = [] if static.recompute else [result, *(part for state in maps for part in state)]
        ctx.static, ctx.kept = static, len(kept)
        ctx.save_for_backward(*kept, *tensors)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        static: _Static = ctx.static
        kept, tensors = ctx.saved_tensors[: ctx.kept], ctx.saved_tensors[ctx.kept :]
        arguments = _Arguments.of(static, *tensors)
        if kept:
            out = kept[0].permute(0, 2, 3, 1)
            maps = [_Maps(*kept[start : start + 3]) for start in range(1, len(kept), 3)]
        else:
            out, maps = _forward(static, arguments, learns=False)
        wanted = ctx.needs_input_grad[1:]
        # The nodes' gradients grow in place, so the incoming one is copied.
        grads = _split(grad.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format))
        back = _Backward(static, arguments, [*arguments.inputs, *_split(out)], maps, grads, wanted)
        return (None, *back.run(tensors[2].dtype))


def _forward(static: _Static, arguments: _Arguments, learns: bool) -> tuple[Tensor, list[_Maps]]:
    """The cell's output [B, H', W', 4 * C], and what its states' edges made."""
    batch, height, width, channels = arguments.inputs[0].shape
    height, width = (height - 1) // static.stride + 1, (width - 1) // static.stride + 1
    out = arguments.inputs[0].new_empty(batch, height, width, len(CONCAT) * channels)
    states, terms, maps = [*arguments.inputs, *_split(out)], {node: [] for node in CONCAT}, []  # type: ignore[var-annotated]
    alive = []
    for state, outgoing in enumerate(OUTGOING):
        x = states[state]
        if state >= INPUTS:
            call("combine", x, 1, terms[state], x)
        made = _edges_of(x, static, arguments, state, learns)
        maps.append(made)
        mixture = arguments.weights[[edge for _, edge in outgoing]]
        scaled = made.norm[:, len(FIRST) :] * mixture[:, COLUMNS, None, None]
        skipped = mixture[:, SKIP, None].repeat(1, channels)
        alive.append((scaled, skipped))
        for index, (node, _) in enumerate(outgoing):
            skip = arguments.skip(states, state, index)
            terms[node].append(Term(skip.data_ptr(), skipped[index].data_ptr(), None, skip.stride(2)))
            for address, coefficients in zip(made.nodeward(index), scaled[index], strict=True):
                terms[node].append(Term(address, *_addresses(coefficients), channels))
    call("combine", states[-1], 1, terms[CONCAT[-1]], states[-1])
    return out, maps


def _edges_of(x: Tensor, static: _Static, arguments: _Arguments, state: int, learns: bool) -> _Maps:
    """Run the convolutions and poolings that read the state `x` [B, H, W, C]."""
    outgoing, stride = OUTGOING[state], static.stride if state < INPUTS else 1
    batch, height, width, channels = x.shape
    size = (batch, (height - 1) // stride + 1, (width - 1) // stride + 1, channels)
    edges, pixels = range(len(outgoing)), size[0] * size[1] * size[2]
    convolutions, pools = x.new_empty(len(edges), len(KERNELS), *size), x.new_empty(2, *size)
    sums = torch.empty(len(edges), MAPS, 2, channels, dtype=torch.float64)
    pool_sums = torch.empty(2, 2, channels, dtype=torch.float64)
    norms = [norm for _, edge in outgoing for norm in static.norms[edge * MAPS : (edge + 1) * MAPS]]
    norm = torch.empty_like(sums) if static.training else _from_running(norms).view_as(sums)
    maps_at, sums_at, norm_at = ([_addresses(part) for part in whole] for whole in (convolutions, sums, norm))

    def convolve(source: Tensor, stride: int, jobs: list[tuple[int, int, int, int | None]]) -> None:
        call(
            "forward",
            source,
            stride,
            [
                Job(
                    read,
                    *arguments.convolution(outgoing[edge].edge, index),
                    prologue,
                    maps_at[edge][index],
                    sums_at[edge][index],
                    *KERNELS[index],
                )
                for edge, index, read, prologue in jobs
            ],
        )

    convolve(x, stride, [(edge, index, x.data_ptr(), None) for edge in edges for index in ON_STATE])
    if static.training:
        norm[:, : len(FIRST)] = _from_batch(sums[:, : len(FIRST)], pixels, norms[0].eps)
    convolve(
        convolutions[0, 0],
        1,
        [(edge, SECOND[k], maps_at[edge][k], norm_at[edge][k]) for edge in edges for k in FIRST],
    )
    call("pool", x, stride, x, pools[0], pools[1], pool_sums)
    sums[:, len(KERNELS) :] = pool_sums
    if static.training:
        norm[:, len(FIRST) :] = _from_batch(sums[:, len(FIRST) :], pixels, norms[0].eps)
    if learns:
        _update(norms, sums, pixels)
    return _Maps(convolutions, pools, norm)


def _moments(sums: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance from sums and sums of squares [..., 2, C]."""
    mean = sums[..., 0, :] / pixels
    return mean, (sums[..., 1, :] / pixels - mean.square()).clamp_min(0)


def _scale_and_shift(mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    scale = (variance + eps).rsqrt()
    return torch.stack([scale, -mean * scale], dim=-2)


def _from_batch(sums: Tensor, pixels: int, eps: float) -> Tensor:
    return _scale_and_shift(*_moments(sums, pixels), eps)


def _from_running(norms: list[nn.BatchNorm2d]) -> Tensor:
    mean = torch.stack([_buffer(norm.running_mean) for norm in norms])
    variance = torch.stack([_buffer(norm.running_var) for norm in norms])
    return _scale_and_shift(mean.double(), variance.double(), norms[0].eps)


def _buffer(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "search-time BatchNorm tracks running statistics"
    return tensor


def _update(norms: list[nn.BatchNorm2d], sums: Tensor, pixels: int) -> None:
    """Running statistics after a batch: of means, and of unbiased variances."""
    if pixels == 1:
        raise ValueError("expected more than 1 value per channel when training")
    mean, variance = (part.flatten(0, 1) for part in _moments(sums, pixels))
    momentum = norms[0].momentum
    assert momentum is not None, "search-time BatchNorm forgets exponentially"
    for buffers, fresh in (
        ([_buffer(norm.running_mean) for norm in norms], mean),
        ([_buffer(norm.running_var) for norm in norms], variance * (pixels / (pixels - 1))),
    ):
        torch._foreach_lerp_(buffers, list(fresh.to(buffers[0].dtype).unbind()), momentum)
    torch._foreach_add_([_buffer(norm.num_batches_tracked) for norm in norms], 1)


class _Backward:
    """The gradients of a cell, from its last state to its first.

    Args:
        static: of the cell.
        arguments: what went in.
        states: all six.
        maps: of the states that have outgoing edges.
        grads: of the four nodes [B, H', W', C]; they grow in place as later nodes pass theirs on.
        wanted: for every tensor that went in, whether its gradient is asked for.
    """

    def __init__(
        self,
        static: _Static,
        arguments: _Arguments,
        states: list[Tensor],
        maps: list[_Maps],
        grads: list[Tensor],
        wanted: tuple[bool, ...],
    ) -> None:
        self.static, self.arguments, self.states, self.maps = static, arguments, states, maps
        self.grads: list[Tensor | None] = [None] * INPUTS + [*grads]
        self.wanted = [*wanted[:INPUTS], *[True] * len(CONCAT)]
        self.learns = any(wanted[-len(arguments.convolutions) :])
        self.weights = torch.zeros_like(arguments.weights)
        self.skips = [torch.empty_like(skip) for skip in arguments.skips]
        self.convolutions = [torch.empty_like(weight) for weight in arguments.convolutions if self.learns]

    def run(self, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors that went in; `dtype` is that of the weights."""
        for state in reversed(range(len(OUTGOING))):
            self._state(state)
        maps = [*self.grads[:INPUTS], *self.skips]
        s0, s1, *skips = [None if grad is None else grad.permute(0, 3, 1, 2) for grad in maps]
        rest = self.convolutions or [None] * len(self.arguments.convolutions)
        return s0, s1, self.weights.to(dtype), *skips, *rest

    def _state(self, state: int) -> None:
        """Pass the gradients of the nodes that read `state` on to it and to what its edges hold."""
        outgoing, maps, x = OUTGOING[state], self.maps[state], self.states[state]
        stride, channels = self.static.stride if state < INPUTS else 1, x.shape[3]
        edges = [edge for _, edge in outgoing]
        mixture = self.arguments.weights[edges]
        sums = self._sums(state)
        self.weights[edges] = self.weights[edges].index_copy(
            1, torch.tensor([*COLUMNS, SKIP]), sums[:, :-1].sum(dim=2)
        )
        skipped = mixture[:, SKIP, None].repeat(1, channels)
        if self.arguments.skips and state < INPUTS:
            for index, (node, _) in enumerate(outgoing):
                grad = self._of_node(node)
                to = self.skips[state * len(OUTGOING[0]) + index]
                call("combine", to, 1, [_term(grad, skipped[index])], to)
        if not (self.learns or self.wanted[state]):
            return
        scaled = maps.norm[:, len(FIRST) :, 0] * mixture[:, COLUMNS, None]
        last = self._epilogue(scaled, maps.norm[:, len(FIRST) :], sums[:, -1:], sums[:, : len(COLUMNS)])
        between, first = self._second_convolutions(state, last)
        grad_x = self._start(state, skipped)
        self._pools(state, last[:, -2:], grad_x)
        jobs = []
        for index, (node, _) in enumerate(outgoing):
            grad = self._of_node(node)
            for convolution in ON_STATE:
                if convolution in FIRST:
                    source, epilogue = between[index, convolution], first[index, convolution]
                else:
                    source, epilogue = grad, last[index, convolution - len(FIRST)]
                jobs.append(self._job(state, index, convolution, x.data_ptr(), None, source, epilogue, grad_x))
        call("backward", x, stride, jobs)
        self.grads[state] = grad_x

    def _of_node(self, node: int) -> Tensor:
        grad = self.grads[node]
        assert grad is not None, "nodes have their gradient from the start"
        return grad

    def _sums(self, state: int) -> Tensor:
        """For every edge, sums over pixels of g * u for the maps in `COLUMNS`, of g * skip, of g: [edges, 8, C]."""
        outgoing, maps, x = OUTGOING[state], self.maps[state], self.states[state]
        sums = torch.empty(len(outgoing), len(COLUMNS) + 2, x.shape[3], dtype=torch.float64)
        one = torch.ones(x.shape[3], dtype=torch.float64)
        for index, (node, _) in enumerate(outgoing):
            terms = [
                Term(address, *_addresses(norm), x.shape[3])
                for address, norm in zip(maps.nodeward(index), maps.norm[index, len(FIRST) :], strict=True)
            ]
            terms += [_term(self.arguments.skip(self.states, state, index)), Term(None, None, one.data_ptr(), 0)]
            grad = self._of_node(node)
            call("dots", grad, 1, terms, grad, sums[index])
        return sums

    def _epilogue(self, scaled: Tensor, norm: Tensor, grads: Tensor, products: Tensor) -> Tensor:
        """p, q, r with dL/dy = p * g + q * y + r, [..., 3, C].

        Args:
            scaled: the weight times BatchNorm's scale, [..., C].
            norm: scale and shift of BatchNorm, [..., 2, C].
            grads: sum of g, [..., C].
            products: sum of g * u, [..., C].
        """
        if not self.static.training:
            return torch.stack([scaled, torch.zeros_like(scaled), torch.zeros_like(scaled)], dim=-2)
        batch, height, width, _ = self.states[-1].shape
        share = scaled / (batch * height * width)
        slope = -share * products * norm[..., 0, :]
        return torch.stack([scaled, slope, -share * (products * norm[..., 1, :] + grads)], dim=-2)

    def _second_convolutions(self, state: int, last: Tensor) -> tuple[Tensor, Tensor]:
        """Back through the second half of the sep_convs.

        Returns the gradients [edges, 2, B, H', W', C] behind the first BatchNorm, and the coefficients
        [edges, 2, 3, C] that take them through it.
        """
        maps, outgoing = self.maps[state], OUTGOING[state]
        between = torch.empty_like(maps.convolutions[:, : len(FIRST)])
        sums = maps.norm.new_empty(len(outgoing), len(FIRST), 2, maps.norm.shape[-1])
        jobs = []
        for index, (node, _) in enumerate(outgoing):
            for first, second in zip(FIRST, SECOND, strict=True):
                read, prologue = maps.convolutions[index, first], maps.norm[index, first]
                job = self._job(
                    state, index, second, read.data_ptr(), prologue.data_ptr(), self._of_node(node),
                    last[index, second - len(FIRST)], between[index, first],
                )  # fmt: skip
                job.sums, job.accumulate = sums[index, first].data_ptr(), 0
                jobs.append(job)
        call("backward", maps.convolutions[0, 0], 1, jobs)
        norm = maps.norm[:, : len(FIRST)]
        return between, self._epilogue(norm[:, :, 0], norm, sums[:, :, 0], sums[:, :, 1]).contiguous()

    def _start(self, state: int, skipped: Tensor) -> Tensor:
        """The gradient of a state from its readers' skips, added to what its own reader has left."""
        x = self.states[state]
        if self.arguments.skips and state < INPUTS:
            return torch.zeros_like(x, memory_format=torch.contiguous_format)
        terms = [
            _term(self._of_node(node), skipped[index]) for index, (node, _) in enumerate(OUTGOING[state])
        ]
        own = self.grads[state]
        grad_x = torch.empty(x.shape, dtype=x.dtype) if own is None else own
        call("combine", grad_x, 1, terms if own is None else [*terms, _term(own)], grad_x)
        return grad_x

    def _pools(self, state: int, last: Tensor, grad_x: Tensor) -> None:
        """Back through both poolings; `last` holds their coefficients, [edges, 2, 3, C]."""
        maps, x = self.maps[state], self.states[state]
        grads, shared = torch.empty_like(maps.pools), last.sum(dim=0)
        for pool in (0, 1):
            terms = [
                _term(self._of_node(node), last[index, pool, 0])
                for index, (node, _) in enumerate(OUTGOING[state])
            ]
            terms.append(_term(maps.pools[pool], shared[pool, 1], shared[pool, 2]))
            call("combine", grads[pool], 1, terms, grads[pool])
        stride = self.static.stride if state < INPUTS else 1
        call("pool_backward", x, stride, x, maps.pools[0], *grads, grad_x, grad_x.stride(2))

    def _job(
        self,
        state: int,
        index: int,
        convolution: int,
        read: int,
        prologue: int | None,
        grad: Tensor,
        epilogue: Tensor,
        grad_x: Tensor,
    ) -> Job:
        edge = OUTGOING[state][index].edge
        start = 2 * (edge * len(KERNELS) + convolution)
        learned = [grad.data_ptr() for grad in self.convolutions[start : start + 2]] or [None, None]
        return Job(
            read,
            *self.arguments.convolution(edge, convolution),
            prologue,
            self.maps[state].convolutions[index, convolution].data_ptr(),
            None,
            *KERNELS[convolution],
            grad.data_ptr(),
            epilogue.data_ptr(),
            grad_x.data_ptr(),
            *learned,
            grad.stride(2),
            grad_x.stride(2),
            1,
        )


def _term(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Term:
    """`scale * x + shift` for x [B, H, W, C]."""
    return Term(x.data_ptr(), *(None if row is None else row.data_ptr() for row in (scale, shift)), x.stride(2))
