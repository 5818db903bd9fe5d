"""The channels of a partial cell that bypass its candidates (see `search_spaces.cells.partial`).

The candidates read the first channels of a state and add to the first ones of a node. Its other channels are
those of the states, each times the sum of the weights of an edge. In the end all are shuffled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from search_spaces.cells.compiled.backward import Backward
from search_spaces.cells.compiled.kernels import Term, call
from search_spaces.cells.compiled.layout import OUTGOING, Arguments, Static, term
from search_spaces.cells.partial import bypass
from search_spaces.genotype import CONCAT, INPUTS


class Bypass:
    """The nodes of a partial cell, one after the other.

    Args:
        static: arguments of the cell that are no tensors.
        arguments: tensors that are the cell's arguments.
        states: the six states [B, H', W', C]; receive the nodes.

    Attributes:
        head: the sum of what the candidates add to the node that is next, [B, H', W', C / parts].
    """

    def __init__(self, static: Static, arguments: Arguments, states: list[Tensor]) -> None:
        self._states, self._count = states, arguments.channels
        self._scales = scales(arguments)
        self._rests = [pooled(rest_of(x, self._count), static.stride) for x in states[:INPUTS]]
        self._node = torch.empty_like(states[-1], memory_format=torch.contiguous_format)
        self.head = self._node[..., : self._count]

    def complete(self, node: int) -> None:
        """Add the other channels of a node to `head` and shuffle."""
        rest = rest_of(self._node, self._count)
        readings = [(state, edge) for state in range(node) for to, edge in OUTGOING[state] if to == node]
        terms = [term(self._rests[state], rest, self._scales[edge].data_ptr()) for state, edge in readings]
        call("combine", rest, 1, terms)
        parts = torch.unflatten(self._node, 3, (-1, self._count))
        torch.unflatten(self._states[node], 3, (self._count, -1)).copy_(parts.transpose(3, 4))
        self._rests.append(rest_of(self._states[node], self._count))


class PartialBackward(Backward):
    """The gradients of a partial cell."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._count, self._scales = self.arguments.channels, scales(self.arguments)
        self.nodes, self._rests = {}, dict[int, Tensor]()
        self._unshuffle(CONCAT[-1])

    def _unshuffle(self, node: int) -> None:
        """Take the gradient of a node, once it is complete, to those of its parts."""
        parts = torch.unflatten(self.grads[node], 3, (self._count, -1)).transpose(3, 4)
        self.nodes[node] = parts[..., 0, :].contiguous()
        self._rests[node] = parts[..., 1:, :].flatten(3).contiguous()

    def _state(self, state: int) -> None:
        super()._state(state)
        outgoing, stride = OUTGOING[state], self.static.stride if state < INPUTS else 1
        grads, rest = [self._rests[node] for node, _ in outgoing], rest_of(self.whole[state], self._count)
        read = pooled(rest, stride)
        sums = self._scales.new_empty(len(outgoing), rest.shape[3])
        call("dots", grads[0], 1, [term(read, grad) for grad in grads], sums)
        self.weights[[edge for _, edge in outgoing]] += sums.sum(dim=1, keepdim=True)
        if state not in self.grads:
            return
        into = rest_of(self.grads[state], self._count)
        to = into if stride == 1 else torch.empty_like(read)
        terms: list[Term] = [
            term(grad, to, self._scales[edge].data_ptr())
            for grad, (_, edge) in zip(grads, outgoing, strict=True)
        ]
        call("combine", to, 1, [*terms, term(to, to)] if state >= INPUTS else terms)
        if state >= INPUTS:
            self._unshuffle(state)
        elif stride == 2:
            with torch.enable_grad():
                leaf = rest.detach().requires_grad_()
                into.copy_(torch.autograd.grad(pooled(leaf, stride), leaf, to)[0])


def scales(arguments: Arguments) -> Tensor:
    """What every edge multiplies the bypassed channels by, float64 [14, C - C / parts]."""
    count = arguments.inputs[0].shape[3] - arguments.channels
    return arguments.weights.sum(dim=1, keepdim=True).repeat(1, count)


def rest_of(x: Tensor, count: int) -> Tensor:
    """The channels of x [B, H, W, C] that no candidate reads."""
    return x[..., count:]


def pooled(rest: Tensor, stride: int) -> Tensor:
    """The bypassed channels [B, H, W, C] as an edge adds them to its node."""
    return bypass(rest.permute(0, 3, 1, 2), stride).permute(0, 2, 3, 1).contiguous() if stride == 2 else rest
