"""From the gradient of a search-time cell's output to those of its inputs, alphas and weights."""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor

from search_spaces.cells.compiled.kernels import Gradients, loops, pixel_stride
from search_spaces.cells.compiled.layout import (
    CANDIDATE_OF_MAP,
    FIRST,
    KERNELS,
    OUTGOING,
    SKIP,
    Arguments,
    Maps,
    Static,
    by_parity,
    describe,
)
from search_spaces.genotype import CONCAT, INPUTS


class Backward:
    """The gradients of a cell, from its last state to its first.

    Args:
        static: arguments of the cell that are no tensors.
        arguments: tensors that were the cell's arguments.
        states: the six states [B, H', W', C], of which the edges read the first channels.
        maps: maps of the states that have outgoing edges.
        grads: gradients of the four nodes [B, H', W', C]; those of later nodes are added to them in place.
        wanted: whether the gradient of each tensor argument is required.
    """

    def __init__(
        self,
        static: Static,
        arguments: Arguments,
        states: list[Tensor],
        maps: list[Maps],
        grads: list[Tensor],
        wanted: tuple[bool, ...],
    ) -> None:
        self.static, self.arguments, self.whole, self.maps = static, arguments, states, maps
        self.states = [x[..., : arguments.channels] for x in states]
        self.grads = dict(zip(CONCAT, grads, strict=True))
        self.nodes = self.grads
        self.wanted = wanted[:INPUTS]
        self.needs_weight_grads = any(wanted[INPUTS + 1 :])
        self.weights = torch.zeros_like(arguments.weights)
        self.weight_grads = (
            _memory_like([*arguments.convolutions, *arguments.skip_convs]) if self.needs_weight_grads else []
        )
        self._cell, self._table = describe(static, arguments, weight_grads=self.weight_grads)
        for state, (x, own) in enumerate(zip(self.states[: len(maps)], maps, strict=True)):
            self._cell.states[state] = own.state(x)

    def run(self, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors that went in; `dtype` is that of the weights of the candidates."""
        for state in reversed(range(len(OUTGOING))):
            self._state(state)
        s0, s1 = (self.grads[state].permute(0, 3, 1, 2) if state in self.grads else None for state in (0, 1))
        return s0, s1, self.weights.to(dtype), *self._weight_grads()

    def _weight_grads(self) -> list[Tensor | None]:
        """The gradients of the convolutions; None where they are not required or nothing was computed."""
        if not self.needs_weight_grads:
            return [None] * (len(self.arguments.convolutions) + len(self.arguments.skip_convs))
        if self.static.computed is None:
            return list(self.weight_grads)
        table = self.static.table()
        computed = table[:, : len(KERNELS)].flatten().tolist()
        if self.arguments.skip_convs:
            computed += [table[edge, SKIP] for outgoing in OUTGOING[:INPUTS] for _, edge in outgoing]
        return [grad if computed[index // 2] else None for index, grad in enumerate(self.weight_grads)]

    def _state(self, state: int) -> None:
        """Pass the gradients of the nodes that read `state` on to it, and to what its edges hold."""
        maps, given = self.maps[state], Gradients(weights=self.weights.data_ptr())
        for node, _ in OUTGOING[state]:
            given.nodes[node - INPUTS] = self.nodes[node].data_ptr()
        if state < INPUTS and not (self.needs_weight_grads or self.wanted[state]):
            loops().cell_backward(byref(self._cell), state, byref(given))
            return
        if state < INPUTS:
            fresh = torch.empty_like if maps.skips is None else torch.zeros_like
            self.grads[state] = fresh(self.whole[state])
        grad_x = self.grads[state][..., : self.arguments.channels]
        pools = torch.empty_like(maps.pools)
        grad_first = torch.empty_like(maps.convolutions[:, : len(FIRST)])
        given.x, given.pixel = grad_x.data_ptr(), pixel_stride(grad_x)
        given.pools, given.grad_first = pools.data_ptr(), grad_first.data_ptr()
        given.has_identity_skips, given.accumulates, given.needs_x = maps.skips is None, state >= INPUTS, True
        if maps.skips is not None and self.arguments.reduces(state):
            skips = torch.empty_like(maps.skips)
            given.skips = skips.data_ptr()
        loops().cell_backward(byref(self._cell), state, byref(given))
        if self.arguments.reduces(state):
            self._through_skip_convs(state, skips, grad_x)
        elif self.static.masks is not None:
            for node, edge in OUTGOING[state]:
                grad, mask = self.nodes[node], self.static.masks[edge]
                weight = self.arguments.weights[edge, CANDIDATE_OF_MAP[SKIP]].to(grad.dtype)
                grad_x += (grad if mask is None else grad * mask) * weight

    def _through_skip_convs(self, state: int, grads: Tensor, grad_x: Tensor) -> None:
        """Back through the convolutions of the skips that reduce; `grads` [edges, B, H', W', C]."""
        active = by_parity(self.states[state])
        flat = grads.permute(1, 2, 3, 0, 4).flatten(3).flatten(0, 2)
        channels = active.shape[3] // 2
        if self.needs_weight_grads:
            first = len(self.arguments.convolutions)
            into = self.arguments._replace(skip_convs=self.weight_grads[first:])
            half = len(into.skip_layers(state, 0)[0])
            found = (active.flatten(0, 2).mT @ flat).view(2, channels, len(grads), channels)
            even, odd = found.permute(0, 2, 3, 1)
            for which, part in enumerate((even[:, :half], odd[:, half:])):
                for to, own in zip(into.skip_layers(state, which), part, strict=True):
                    to.copy_(own.view_as(to))
        back = (flat @ self.arguments.skip_matrix(state).mT).view_as(active) * (active > 0)
        for which, part in enumerate(back.chunk(2, dim=3)):
            pixels = grad_x[:, which::2, which::2]
            pixels += part[:, : pixels.shape[1], : pixels.shape[2]]


def _memory_like(tensors: list[Tensor]) -> list[Tensor]:
    """Tensors of the same sizes in one piece of memory, which takes less time than one for each."""
    memory = tensors[0].new_empty(sum(tensor.numel() for tensor in tensors))
    parts = torch.split(memory, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
