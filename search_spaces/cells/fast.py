"""The search-time cell, fast: the mathematics and the weights of `MixedCell`, computed in another order.

What the plain cell computes once per edge is computed once per state where it is the same. The weight of a
candidate becomes the scale of its last BatchNorm, `none` is never computed, and gradients are computed only
where they are required. A CPU runs compiled loops (`search_spaces.cells.compiled`), or without a compiler
torch's own operations, candidate by candidate. Other devices compute many edges in one operation
(`search_spaces.cells.batched`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, channel_shuffle
from torch.utils.checkpoint import checkpoint

from search_spaces.cells.batched import READERS, Waves, fan_out, lies_last
from search_spaces.cells.compiled import cell as compiled_cell
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.layout import OUTGOING, Layers, Outgoing
from search_spaces.cells.compiled.pointwise import preprocess_by_loops
from search_spaces.cells.mixed import SKIP, MixedCell
from search_spaces.cells.partial import bypass, partial_edges
from search_spaces.cells.plan import WAVES, plan_of
from search_spaces.genotype import CANDIDATES, EDGES, INPUTS
from search_spaces.geometry import CellGeometry
from search_spaces.operations import FactorizedReduce


class FastCell(MixedCell):
    """`MixedCell` with the same state dict and the same results up to rounding, in less time and memory.

    Attributes:
        recompute: whether to keep the cell's inputs only and recompute the rest in the backward pass.
    """

    recompute = False

    def __init__(self, geometry: CellGeometry) -> None:
        super().__init__(geometry)
        self.prepare()

    def prepare(self) -> None:
        """Take the layers of the edges, which may have been replaced."""
        preprocess_by_loops(self)
        self._layers = [Layers.of(*mixed.candidates) for mixed in self.operations()]
        self._sees_batch_again = False

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """The outputs of two cells -> [B, 4 * channels, H / stride, W / stride].

        In memory, channels are last on a CPU, but for autocast; elsewhere maps lie as those of the stem do.
        """
        is_batched = self._is_batched(s0)
        if not is_batched:
            s0, s1 = (x.contiguous(memory_format=_order_on_cpu()) for x in (s0, s1))
        x0, x1 = self.preprocess0(s0), self.preprocess1(s1)
        if is_batched and lies_last(s0):  # cuDNN brings maps in float64 into the other order
            x0, x1 = (x.contiguous(memory_format=torch.channels_last) for x in (x0, x1))
        masks = self.skip_masks(x0)
        if not is_batched and kernels.usable(x0) and self._has_one_mode():
            return compiled_cell.run(
                self._layers,
                x0,
                x1,
                self.weights,
                training=self.training,
                recompute=self.recompute,
                computed=self.computed,
                masks=masks if self.skip_dropout else None,
            )
        run = self._run_batched if is_batched else self._run
        if self.recompute and torch.is_grad_enabled():
            contexts = lambda: (contextlib.nullcontext(), self._again())  # noqa: E731
            result: Any = checkpoint(
                run, x0, x1, self.weights, masks, use_reentrant=False, context_fn=contexts
            )
            return result
        return run(x0, x1, self.weights, masks)

    def _has_one_mode(self) -> bool:
        """Whether all BatchNorm of the edges are in the cell's mode, as the loops need them to be."""
        return all(
            norm.training == self.training and (norm.training or norm.running_mean is not None)
            for layers in self._layers
            for norm in layers.norms
        )

    def _is_batched(self, x: Tensor) -> bool:
        return x.device.type != "cpu"

    @contextlib.contextmanager
    def _again(self) -> Iterator[None]:
        self._sees_batch_again = True
        try:
            yield
        finally:
            self._sees_batch_again = False

    def _run(self, s0: Tensor, s1: Tensor, weights: Tensor, masks: list[Tensor | None]) -> Tensor:
        states = [s0, s1]
        nodes: dict[int, Tensor] = {}
        for state, outgoing in enumerate(OUTGOING):
            for node, term in self._from_state(states[state], outgoing, weights, masks):
                nodes[node] = nodes[node].add_(term) if node in nodes else term
            if state > 0:
                states.append(self._node(nodes, state + 1, states))
        return torch.cat(states[INPUTS:], dim=1)

    def _node(self, nodes: dict[int, Tensor], node: int, states: list[Tensor]) -> Tensor:
        """The sum of a node's terms; without any it is zero."""
        stride = self.operations()[0].stride
        return nodes[node] if node in nodes else states[0][..., ::stride, ::stride] * 0

    def _from_state(
        self, x: Tensor, outgoing: list[Outgoing], weights: Tensor, masks: list[Tensor | None]
    ) -> Iterator[tuple[int, Tensor]]:
        """The terms that the edges from a state add to their nodes."""
        operations, active = self.operations(), torch.relu(x)
        computed = self.computed or [[True] * len(CANDIDATES)] * EDGES
        pools = [
            cast(nn.Sequential, operations[outgoing[0].edge].candidates[pool - 1])[0](x)
            if any(computed[edge][pool] for _, edge in outgoing)
            else None
            for pool in (1, 2)
        ]
        for node, edge in outgoing:
            candidates, scales = operations[edge].candidates, weights[edge]
            for column in range(1, len(CANDIDATES)):
                if computed[edge][column]:
                    read = pools[column - 1] if column < SKIP else x if column == SKIP else active
                    yield node, self._term(candidates[column - 1], column, read, scales[column], masks[edge])

    def _term(self, candidate: Any, column: int, x: Any, scale: Tensor, mask: Tensor | None) -> Tensor:
        """What a candidate adds to a node; a pooling gets the pooled state, a convolution the active one."""
        if column < SKIP:
            return self._norm(candidate[1], x, scale)
        if column == SKIP:
            if isinstance(candidate, FactorizedReduce):
                return self._norm(candidate.bn, candidate.convolve(x), scale)
            return scale * (x if mask is None else x * mask)
        _, depthwise, pointwise, norm, *second = candidate
        y = pointwise(depthwise(x))
        if second:
            _, depthwise, pointwise, last = second
            norm, y = last, pointwise(depthwise(self._norm(norm, y).relu_()))
        return self._norm(norm, y, scale)

    def _norm(self, norm: nn.BatchNorm2d, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """BatchNorm, multiplied by a scalar."""
        learns = norm.training and not self._sees_batch_again
        if learns and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        # A weight of stride 0 would do, were its gradient not wrong for channels-last maps (torch 2.14).
        factor = None if scale is None else scale.repeat(x.shape[1])
        momentum = norm.momentum if learns and norm.momentum is not None else 0.0
        return batch_norm(
            x, norm.running_mean, norm.running_var, factor, None, norm.training, momentum, norm.eps
        )

    def _run_batched(self, s0: Tensor, s1: Tensor, weights: Tensor, masks: list[Tensor | None]) -> Tensor:
        waves, nodes, kept = self._waves(s0, weights, masks), None, []
        states: Sequence[Tensor] = fan_out(torch.cat([s0, s1], dim=1), READERS)
        for wave in range(len(WAVES)):
            node, nodes = waves.complete(waves.add(wave, states, nodes))
            *states, own = fan_out(node, READERS + 1)
            kept.append(own)
        self._follow(waves)
        return torch.cat(kept, dim=1)

    def _waves(self, x: Tensor, weights: Tensor, masks: list[Tensor | None]) -> Waves:
        computed = None if self.computed is None else tuple(map(tuple, self.computed))
        return Waves(
            self._layers,
            plan_of(self.operations()[0].stride, computed),
            weights,
            self._computed_channels(),
            training=self.training,
            masks=masks,
            is_last=lies_last(x),
        )

    def _follow(self, waves: Waves) -> None:
        """Update the running statistics, unless a forward pass is computed again."""
        if self.training and not self._sees_batch_again:
            waves.update()


def _order_on_cpu() -> torch.memory_format:
    """Channels last, except in bfloat16, in which oneDNN then computes wrong gradients.

    They are those of the weights of dilated depthwise convolutions (seen with torch 2.14 on an AMX machine).
    """
    return torch.contiguous_format if torch.is_autocast_enabled("cpu") else torch.channels_last


class FastPartialCell(FastCell):
    """`PartialCell` with the same state dict and the same results up to rounding.

    The channels of a node are shuffled once, not those of each edge, and bypassed channels are pooled once a
    state.

    Args:
        geometry: position of the cell in the network.
        parts: one channel in `parts` is processed; must divide the channels of the cell.
    """

    def __init__(self, geometry: CellGeometry, parts: int) -> None:
        super().__init__(geometry)
        self.edges = partial_edges(geometry, parts)
        self.prepare()

    def _run(self, s0: Tensor, s1: Tensor, weights: Tensor, masks: list[Tensor | None]) -> Tensor:
        states, count = [s0, s1], self._computed_channels()
        computed: dict[int, Tensor] = {}
        rests: dict[int, Tensor] = {}
        for state, outgoing in enumerate(OUTGOING):
            x = states[state]
            head = x[:, :count].contiguous(memory_format=_order_on_cpu())
            for node, term in self._from_state(head, outgoing, weights, masks):
                computed[node] = computed[node].add_(term) if node in computed else term
            rest = bypass(x[:, count:], self.operations()[outgoing[0].edge].stride)
            for node, edge in outgoing:
                term = weights[edge].sum() * rest
                rests[node] = rests[node].add_(term) if node in rests else term
            if state > 0:
                node = state + 1
                mixed = self._node(computed, node, [head])
                joined = torch.cat([mixed, rests[node]], dim=1)
                states.append(channel_shuffle(joined, joined.shape[1] // count))
        return torch.cat(states[INPUTS:], dim=1)

    def _run_batched(self, s0: Tensor, s1: Tensor, weights: Tensor, masks: list[Tensor | None]) -> Tensor:
        states, count, waves = [s0, s1], self._computed_channels(), self._waves(s0, weights, masks)
        order = torch.channels_last if lies_last(s0) else torch.contiguous_format
        nodes: Tensor | None = None
        rests: dict[int, Tensor] = {}
        for wave, members in enumerate(WAVES):
            heads = [states[state][:, :count].contiguous(memory_format=order) for state in members]
            for state in members:
                outgoing = OUTGOING[state]
                rest = bypass(states[state][:, count:], self.operations()[outgoing[0].edge].stride)
                for node, edge in outgoing:
                    term = weights[edge].sum() * rest
                    rests[node] = rests[node].add_(term) if node in rests else term
            read = fan_out(torch.cat(heads, dim=1), READERS)
            mixed, nodes = waves.complete(waves.add(wave, read, nodes))
            joined = torch.cat([mixed, rests[members[-1] + 1]], dim=1)
            states.append(channel_shuffle(joined, joined.shape[1] // count))
        self._follow(waves)
        return torch.cat(states[INPUTS:], dim=1)
