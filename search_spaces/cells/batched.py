"""The edges of a search-time cell in few operations: one for all edges that can be computed at the same time.

The edges that leave both inputs of a cell form a wave, and those that leave each of its nodes another one.
The convolutions of a wave that have the same kernel are one grouped convolution of its edges' channels, side
by side; so are their pointwise convolutions, and their BatchNorms, whose scale is the weight of the
candidate. Poolings are computed once a state; a matrix product adds them and the identity skips up by their
weights. A GPU takes some microseconds to start an operation, whatever its size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from search_spaces.cells.compiled.layout import (
    CANDIDATE_OF_MAP,
    FIRST,
    KERNELS,
    MAX,
    MEAN,
    SECOND,
    SKIP,
    Layers,
)
from search_spaces.cells.gpu import separable
from search_spaces.cells.plan import BLOCKS, POOLS, WAVES, Key, Plan, Unit, units_of
from search_spaces.operations import pixels_by_parity
from search_spaces.pooling import average_pool

READERS = 4
"""Number of operations that read the states of a wave: ReLU, the sum with skips, and two poolings."""


class Waves:
    """One pass through the edges of a cell, wave by wave.

    Args:
        layers: the layers of every edge.
        plan: what is computed together.
        weights: weights of the candidates, [14, 8].
        channels: channels of a node that its candidates compute.
        training: whether BatchNorm uses the statistics of the batch.
        masks: factors of the identity skips of every edge, [B, C, H, W]; None: 1.
        is_last: whether maps lie in memory with their channels last.
    """

    def __init__(
        self,
        layers: list[Layers],
        plan: Plan,
        weights: Tensor,
        channels: int,
        *,
        training: bool,
        masks: list[Tensor | None],
        is_last: bool = False,
    ) -> None:
        self._layers, self._plan, self._weights = layers, plan, weights
        self._channels, self._training, self._masks = channels, training, masks
        self._is_last, self._axis = is_last, 3 if is_last else 1
        self._taken = plan.taken(training, any(mask is not None for mask in masks))
        self._scales, self._matrices = self._take()
        self._stacks = self._stack()
        running: Any = layers[0].norms[0].running_mean
        self._batch = running.new_zeros((2, plan.rows, channels))

    def _take(self) -> tuple[dict[Key, Tensor], dict[int, Tensor]]:
        """Scales of BatchNorms, [units * C] each, and matrices, [nodes, states * maps] each."""
        indices, factors, scales, matrices = self._taken
        if not indices:
            return {}, {}
        device = self._weights.device
        taken = self._weights.flatten().index_select(0, _constant(indices, torch.int64, device))
        if not all(factors):
            taken = taken * _constant(factors, taken.dtype, device)
        sizes = [len(units_of(wave, 0)) * len(maps) for wave, maps in matrices.items()]
        of_units, *of_matrices = torch.split(taken, [sum(scales.values()), *sizes])
        wide = of_units[:, None].expand(-1, self._channels).flatten()
        parts = torch.split(wide, [count * self._channels for count in scales.values()]) if scales else ()
        shaped = [
            part.view(-1, len(maps) * len(WAVES[wave]))
            for part, (wave, maps) in zip(of_matrices, matrices.items(), strict=True)
        ]
        return dict(zip(scales, parts, strict=True)), dict(zip(matrices, shaped, strict=True))

    def _stack(self) -> dict[tuple[int, str, int], Tensor]:
        """The weights of layers that are computed together, one below the other."""
        stacks = {name: [self._weight(*row) for row in rows] for name, rows in self._plan.stacks.items()}
        if not stacks:
            return {}
        every = torch.cat([weight.flatten() for weights in stacks.values() for weight in weights])
        parts = torch.split(every, [sum(weight.numel() for weight in weights) for weights in stacks.values()])
        return {
            name: part.view(-1, *weights[0].shape[1:])
            for (name, weights), part in zip(stacks.items(), parts, strict=True)
        }

    def _weight(self, edge: int, index: int, which: int) -> Tensor:
        layers = self._layers[edge]
        return (layers.skip_convs if index == SKIP else layers.convolutions[index])[which].weight

    def add(self, wave: int, states: Sequence[Tensor], nodes: Tensor | None) -> Tensor:
        """Add what the edges of a wave compute to the nodes that they enter.

        Args:
            wave: number of the wave.
            states: `READERS` aliases of the states that its edges leave, side by side, [B, states * C, H, W].
            nodes: the nodes so far, as this function returns them; None: zeros.

        Returns:
            The nodes, in the order of memory: [nodes, B, H, W, C] where channels are last, else
            [nodes, B, C, H, W].
        """
        edges, (active, skipped, *pooled) = units_of(wave, SKIP), states
        pools = self._pools(wave, *pooled)
        is_fused = self._is_fused(wave, active)
        if wave in self._matrices:
            nodes = self._mixed(wave, pools | {SKIP: skipped}, nodes)
        elif nodes is None and not is_fused:
            stride = self._plan.stride(wave)
            zeros = self._in_memory(skipped[:, : self._channels, ::stride, ::stride] * 0)
            nodes = zeros.expand(len(edges) // len(WAVES[wave]), *zeros.shape)
        if is_fused:
            nodes = self._separable(wave, active, nodes)
        assert nodes is not None
        alone = []
        for units, maps in self._scaled(wave, active, pools, "skip" if is_fused else "all"):
            ordered = self._in_memory(maps)
            if self._plan.is_whole(wave, units):
                parts = torch.unflatten(ordered, self._axis, (-1, len(nodes), self._channels))
                nodes = nodes + parts.sum(self._axis).movedim(self._axis, 0)
            else:
                terms = torch.split(ordered, self._channels, dim=self._axis)
                alone += [(unit.node, term) for unit, term in zip(units, terms, strict=True)]
        for _, position, node, edge in edges:
            if (mask := self._masks[edge]) is not None:
                scale = self._weights[edge, CANDIDATE_OF_MAP[SKIP]]
                state = torch.split(skipped, self._channels, dim=1)[position]
                alone.append((node, self._in_memory(scale * (state * mask))))
        if alone:
            rows = list(nodes.unbind(0))
            for node, term in alone:
                rows[node - edges[0].node] = rows[node - edges[0].node] + term
            nodes = torch.stack(rows)
        return nodes

    def complete(self, nodes: Tensor) -> tuple[Tensor, Tensor | None]:
        """The first node, which no later wave enters, [B, C, H, W], and the others if there are any."""
        if len(nodes) == 1:
            return in_channels(nodes.squeeze(0), self._is_last), None
        first, others = torch.split(nodes, [1, len(nodes) - 1])
        return in_channels(first.squeeze(0), self._is_last), others

    def _in_memory(self, x: Tensor) -> Tensor:
        return in_memory(x, self._is_last)

    def _pools(self, wave: int, x: Tensor, same: Tensor) -> dict[int, Tensor]:
        """The poolings of the states; in training behind BatchNorm, with statistics that all edges share."""
        stride, pools = self._plan.stride(wave), {}
        if self._plan.units[wave, "max"]:
            pools[MAX] = max_pool2d(x, 3, stride, 1)
        if self._plan.units[wave, "mean"]:
            pools[MEAN] = average_pool(same, 3, stride)
        if self._training:
            names = {index: block for block, index in POOLS.items()}
            pools = {index: self._norm((wave, names[index]), pool) for index, pool in pools.items()}
        return pools

    def _mixed(self, wave: int, maps: dict[int, Tensor], nodes: Tensor | None) -> Tensor:
        """The nodes and, by their weights, poolings and identity skips."""
        rows = [self._in_memory(maps[index]) for index in self._taken.matrices[wave]]
        if len(WAVES[wave]) > 1:
            split = [torch.split(row, self._channels, dim=self._axis) for row in rows]
            rows = [row for state in zip(*split, strict=True) for row in state]
        stacked, matrix = torch.stack(rows), self._matrices[wave]
        flat = stacked.flatten(1)
        mixed = matrix @ flat if nodes is None else torch.addmm(nodes.flatten(1), matrix, flat)
        return torch.unflatten(mixed, 1, stacked.shape[1:])

    def _is_fused(self, wave: int, x: Tensor) -> bool:
        """Whether kernels of our own compute the separable convolutions of all edges of the wave."""
        blocks = [self._plan.units[wave, block] for block in ("first", "last")]
        edges = len(units_of(wave, SKIP))
        is_whole = [len(units) for units in blocks] == [2 * edges, 4 * edges]
        return self._is_last and is_whole and separable.usable(x)

    def _separable(self, wave: int, x: Tensor, nodes: Tensor | None) -> Tensor:
        """The nodes and the separable convolutions of the wave, by kernels of our own."""
        keys, channels = ((wave, "first"), (wave, "last")), self._channels
        starts = [(self._plan.starts[key], len(self._plan.units[key])) for key in keys]
        batches = [self._batch[:, start : start + count].flatten(1) for start, count in starts]
        shape = separable.Wave(
            states=len(WAVES[wave]),
            nodes=len(units_of(wave, SKIP)) // len(WAVES[wave]),
            stride=self._plan.stride(wave),
            channels=channels,
            epsilon=self._layers[0].norms[0].eps,
            norms=None if self._training else (self._running_norm(keys[0]), self._running_norm(keys[1])),
            batches=(batches[0], batches[1]),
        )
        return separable.add_separable(
            shape,
            self._in_memory(x),
            nodes,
            [self._stacks[wave, "depthwise", index] for index in range(len(KERNELS))],
            [self._stacks[(*key, -1)] for key in keys],
            self._scales[keys[1]],
        )

    def _running_norm(self, key: Key) -> separable.Norm:
        mean, variance = self._running(key)
        return separable.Norm(mean, (variance + self._layers[0].norms[0].eps).rsqrt())

    def _scaled(
        self, wave: int, state: Tensor, pools: dict[int, Tensor], which: str
    ) -> Iterator[tuple[list[Unit], Tensor]]:
        """Maps [B, units * C, H, W] that go into nodes, times the weights of their candidates.

        `which`: all of them, or only those of a skip, and of poolings.
        """
        units, stride = self._plan.units, self._plan.stride(wave)
        of_map = {
            index: [unit for unit in units[wave, block] if unit.map == index]
            for block in (("first", "last", "skip") if which == "all" else ("skip",))
            for index in BLOCKS[block]
        }
        readers = {i: of_map[i] for i in of_map if of_map[i] and i not in SECOND}
        inputs = self._inputs(wave, torch.relu(state), readers) if readers else {}
        first = [self._depthwise(wave, index, inputs[index], stride) for index in FIRST if index in inputs]
        last = []
        if first:
            maps = self._norm((wave, "first"), self._pointwise((wave, "first"), first))
            pieces = iter(torch.split(maps, [part.shape[1] for part in first], dim=1))
            last = [
                self._depthwise(wave, index, torch.relu(next(pieces)), 1) for index in SECOND if of_map[index]
            ]
        last += [
            self._depthwise(wave, index, inputs[index], stride) for index in BLOCKS["last"] if index in inputs
        ]
        if last:
            yield units[wave, "last"], self._norm((wave, "last"), self._pointwise((wave, "last"), last))
        if SKIP in inputs:
            yield units[wave, "skip"], self._norm((wave, "skip"), self._halved(wave, inputs[SKIP]))
        if not self._training:
            for block, index in POOLS.items():
                if pooled := units[wave, block]:
                    yield pooled, self._norm((wave, block), self._gather(pools[index], pooled))

    def _inputs(self, wave: int, active: Tensor, readers: dict[int, list[Unit]]) -> dict[int, Tensor]:
        """What each map reads, the states of its edges side by side: [B, edges * C, H, W] by map."""
        whole = [index for index, units in readers.items() if self._plan.is_whole(wave, units)]
        states = len(WAVES[wave])
        edges = len(units_of(wave, SKIP))
        wide = fan_out(active, len(whole), states, edges // states) if whole else ()
        return dict(zip(whole, wide, strict=True)) | {
            index: self._gather(active, units) for index, units in readers.items() if index not in whole
        }

    def _gather(self, x: Tensor, units: list[Unit]) -> Tensor:
        """The states that units read, side by side: [B, states * C, H, W] -> [B, units * C, H, W]."""
        states = torch.split(x, self._channels, dim=1)
        return torch.cat([states[unit.position] for unit in units], dim=1)

    def _depthwise(self, wave: int, index: int, x: Tensor, stride: int) -> Tensor:
        kernel, dilation = KERNELS[index]
        weight, padding = self._stacks[wave, "depthwise", index], dilation * (kernel - 1) // 2
        return conv2d(x, weight, None, stride, padding, dilation, groups=len(weight))

    def _pointwise(self, key: Key, parts: list[Tensor]) -> Tensor:
        x = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self._products(x, self._stacks[(*key, -1)])

    def _halved(self, wave: int, x: Tensor) -> Tensor:
        """The two convolutions of skips of stride 2, one of the even and one of the odd pixels."""
        count, pieces = x.shape[1] // self._channels, []
        for name, pixels in zip((("half 0", SKIP), ("half 1", -1)), pixels_by_parity(x), strict=True):
            half = self._products(pixels, self._stacks[(wave, *name)])
            pieces.append(torch.unflatten(half, 1, (count, -1)))
        return torch.cat(pieces, dim=2).flatten(1, 2)

    def _products(self, x: Tensor, weight: Tensor) -> Tensor:
        """A 1x1 convolution of each unit as a matrix product; cuDNN would take one unit after the other."""
        units = x.shape[1] // self._channels
        weight = weight.view(units, -1, self._channels)
        split = torch.unflatten(self._in_memory(x), self._axis, (units, -1))
        if self._is_last:
            return in_channels(torch.einsum("bhwgi,goi->bhwgo", split, weight).flatten(3), True)
        return torch.unflatten((weight @ split.flatten(3)).flatten(1, 2), 2, x.shape[2:])

    def _norm(self, key: Key, x: Tensor) -> Tensor:
        """BatchNorm, multiplied by the weights of the candidates where they are in a node's sum."""
        scale, epsilon = self._scales.get(key), self._layers[0].norms[0].eps
        if self._training:
            start = self._plan.starts[key]
            mean, variance = self._batch[:, start : start + x.shape[1] // self._channels].flatten(1)
            return batch_norm(x, mean, variance, scale, None, True, 1.0, epsilon)
        return batch_norm(x, *self._running(key), scale, None, False, 0.0, epsilon)

    def _running(self, key: Key) -> tuple[Tensor, Tensor]:
        """Running mean and variance of every channel of a block."""
        norms: list[Any] = [self._layers[unit.edge].norms[unit.map] for unit in self._plan.units[key]]
        return (
            torch.cat([norm.running_mean for norm in norms]),
            torch.cat([norm.running_var for norm in norms]),
        )

    @torch.no_grad()
    def update(self) -> None:
        """Let the running statistics of every computed BatchNorm follow those of the batch."""
        norms: list[Any] = [self._layers[edge].norms[index] for edge, index, _ in self._plan.followers]
        if not norms:
            return
        means, variances = (values.unbind(0) for values in self._batch)
        rows = [row for *_, row in self._plan.followers]
        running = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
        seen = [means[row] for row in rows] + [variances[row] for row in rows]
        torch._foreach_lerp_(running, seen, norms[0].momentum)
        torch._foreach_add_([norm.num_batches_tracked for norm in norms], 1)


class _FanOut(torch.autograd.Function):
    """Aliases of a map, or of copies of its states side by side, whose gradients are added in one sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, aliases: int, states: int, copies: int) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.states, ctx.copies, ctx.is_last = states, copies, lies_last(x)
        if copies > 1:
            parts = in_memory(x, ctx.is_last)
            axis = 3 if ctx.is_last else 1
            parts = torch.unflatten(parts, axis, (states, 1, -1))
            sizes = [*parts.shape[: axis + 1], copies, *parts.shape[axis + 2 :]]
            x = in_channels(parts.expand(sizes).flatten(axis, axis + 2), ctx.is_last)
        return tuple(x.view_as(x) for _ in range(aliases))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        given = [grad for grad in grads if grad is not None]
        if not given or (len(given) == 1 and ctx.copies == 1):
            return (given[0] if given else None), None, None, None
        axis = 3 if ctx.is_last else 1
        joined = in_memory(given[0] if len(given) == 1 else torch.cat(given), ctx.is_last)
        parts = torch.unflatten(joined, axis, (ctx.states, ctx.copies, -1))
        parts = torch.unflatten(parts, 0, (len(given), -1))
        added = parts.sum((0, axis + 2)).flatten(axis, axis + 1)
        return in_channels(added, ctx.is_last), None, None, None


def lies_last(x: Tensor) -> bool:
    """Whether a map [B, C, H, W] lies in memory with its channels last."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_memory(x: Tensor, is_last: bool) -> Tensor:
    """A map in the order of memory: [B, H, W, C] where channels are last, else [B, C, H, W]."""
    return x.permute(0, 2, 3, 1) if is_last else x


def in_channels(x: Tensor, is_last: bool) -> Tensor:
    """A map [B, C, H, W] from one in the order of memory."""
    return x.permute(0, 3, 1, 2) if is_last else x


def fan_out(x: Tensor, aliases: int, states: int = 1, copies: int = 1) -> tuple[Tensor, ...]:
    """A map for several readers, so that their gradients are not added one by one.

    Args:
        x: states side by side, [B, states * C, H, W].
        aliases: number of readers.
        states: number of states.
        copies: how often each state is repeated, one beside the other.

    Returns:
        As many times the same [B, states * copies * C, H, W].
    """
    found: tuple[Tensor, ...] = _FanOut.apply(x, aliases, states, copies)
    return found


@functools.lru_cache(maxsize=512)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
