"""From the gradient of a search-time cell's output to those of its inputs, alphas and weights.

The backward pass of BatchNorm is linear in the gradient, the map and 1, with coefficients that follow from
two sums a channel: for z = w * u, u = s * y + t, n pixels,

    dL/dy = w * s * (g - sum(g) / n - u * sum(g * u) / n),    dL/dw = sum over channels of sum(g * u).
"""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.cells.compiled.kernels import Job, Term, call, pixel_stride
from search_spaces.cells.compiled.layout import (
    COLUMNS,
    FIRST,
    INTO_NODE,
    KERNELS,
    MAX,
    MEAN,
    ON_STATE,
    OUTGOING,
    SECOND,
    SKIP,
    Arguments,
    Maps,
    Static,
    by_parity,
    one,
    term,
)
from search_spaces.genotype import CONCAT, EDGES, INPUTS


class Backward:
    """The gradients of a cell, from its last state to its first.

    Args:
        static: arguments of the cell that are no tensors.
        arguments: tensors that were the cell's arguments.
        states: the six states [B, H', W', C].
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
        self.static, self.arguments, self.states, self.maps = static, arguments, states, maps
        self.nodes = dict(zip(CONCAT, grads, strict=True))
        self.inputs: list[Tensor | None] = [None] * INPUTS
        self.wanted = wanted[:INPUTS]
        self.learns = any(wanted[INPUTS + 1 :])
        self.weights = torch.zeros_like(arguments.weights)
        learned = [*arguments.convolutions, *arguments.skip_convs]
        self.learned = [torch.empty_like(weight) for weight in learned if self.learns]

    def run(self, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors that went in; `dtype` is that of the weights of the candidates."""
        for state in reversed(range(len(OUTGOING))):
            self._state(state)
        s0, s1 = (None if grad is None else grad.permute(0, 3, 1, 2) for grad in self.inputs)
        return s0, s1, self.weights.to(dtype), *self._learned()

    def _learned(self) -> list[Tensor | None]:
        """The gradients of the convolutions; None where they are not required or nothing was computed."""
        if not self.learns:
            return [None] * (len(self.arguments.convolutions) + len(self.arguments.skip_convs))
        computed = [
            self.static.computes(edge, index) for edge in range(EDGES) for index in range(len(KERNELS))
        ]
        if self.arguments.skip_convs:
            computed += [
                self.static.computes(edge, SKIP) for outgoing in OUTGOING[:INPUTS] for _, edge in outgoing
            ]
        return [grad if computed[index // 2] else None for index, grad in enumerate(self.learned)]

    def _state(self, state: int) -> None:
        """Pass the gradients of the nodes that read `state` on to it, and to what its edges hold."""
        maps, edges = self.maps[state], [edge for _, edge in OUTGOING[state]]
        norm, sums = maps.norm[:, INTO_NODE], self._sums(state)
        self.weights[edges, 1:] = sums[:, :-1].sum(dim=2)[:, _BACK]
        if state < INPUTS and not (self.learns or self.wanted[state]):
            return
        scaled = norm[:, :, 0] * self.arguments.mixture(state)[..., None]
        last = self._epilogue(scaled, norm, sums[:, -1:], sums[:, :-1])
        between, first = self._second_convolutions(state, last)
        grad_x = self._through_skips(state, last[:, -1])
        self._through_pools(state, last[:, MAX - len(FIRST) : SKIP - len(FIRST)], grad_x)
        jobs = []
        for index, (node, edge) in enumerate(OUTGOING[state]):
            for convolution in ON_STATE:
                if convolution in FIRST:
                    grad, epilogue = between[index, convolution], first[index, convolution]
                else:
                    grad, epilogue = self.nodes[node], last[index, convolution - len(FIRST)]
                if self.static.computes(edge, convolution):
                    jobs.append(self._job(state, index, convolution, grad, epilogue, grad_x))
        if jobs:
            call("backward", self.states[state], self._stride(state), jobs)

    def _stride(self, state: int) -> int:
        return self.static.stride if state < INPUTS else 1

    def _sums(self, state: int) -> Tensor:
        """Sums over pixels: of g * u for the maps that an edge adds to its node, of g; [edges, 8, C]."""
        maps, x = self.maps[state], self.states[state]
        constant = one(x)
        sums = constant.new_zeros(len(OUTGOING[state]), len(COLUMNS) + 1, x.shape[3])
        for index, (node, edge) in enumerate(OUTGOING[state]):
            wanted, grad = self.static.into_node(edge), self.nodes[node]
            terms = maps.into_node(x, index, maps.norm[index, INTO_NODE], wanted)
            own = sums[index, : len(wanted) + 1]
            call("dots", grad, 1, [*terms, Term(None, None, constant.data_ptr(), 0)], grad, own)
            if len(wanted) < len(COLUMNS):
                found, sums[index] = own.clone(), 0
                sums[index, [*wanted, len(COLUMNS)]] = found
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
        share = scaled / self.states[-1][..., 0].numel()
        slope = -share * products * norm[..., 0, :]
        return torch.stack([scaled, slope, -share * (products * norm[..., 1, :] + grads)], dim=-2)

    def _second_convolutions(self, state: int, last: Tensor) -> tuple[Tensor, Tensor]:
        """Back through the second half of the sep_convs.

        Returns the gradients [edges, 2, B, H', W', C] behind the first BatchNorm, and the coefficients
        [edges, 2, 3, C] that take them through it.
        """
        maps = self.maps[state]
        between = torch.empty_like(maps.convolutions[:, : len(FIRST)])
        sums = torch.zeros_like(maps.norm[:, : len(FIRST)])
        jobs = []
        for index, (node, edge) in enumerate(OUTGOING[state]):
            for first, second in zip(FIRST, SECOND, strict=True):
                if not self.static.computes(edge, first):
                    continue
                epilogue, to = last[index, second - len(FIRST)], between[index, first]
                job = self._job(state, index, second, self.nodes[node], epilogue, to)
                job.x = maps.convolutions[index, first].data_ptr()
                job.prologue, job.sums = maps.norm[index, first].data_ptr(), sums[index, first].data_ptr()
                job.accumulate = 0
                jobs.append(job)
        if jobs:
            call("backward", between[0, 0], 1, jobs)
        norm = maps.norm[:, : len(FIRST)]
        return between, self._epilogue(norm[:, :, 0], norm, sums[:, :, 0], sums[:, :, 1])

    def _job(
        self, state: int, index: int, convolution: int, grad: Tensor, epilogue: Tensor, grad_x: Tensor
    ) -> Job:
        """A convolution of the state's edge `index` that reads the state and adds to its gradient."""
        edge = OUTGOING[state][index].edge
        start = 2 * (edge * len(KERNELS) + convolution)
        learned = [weight.data_ptr() for weight in self.learned[start : start + 2]]
        return Job(
            self.states[state].data_ptr(),
            *self.arguments.convolution(edge, convolution),
            None,
            self.maps[state].convolutions[index, convolution].data_ptr(),
            None,
            *KERNELS[convolution],
            grad.data_ptr(),
            epilogue.data_ptr(),
            grad_x.data_ptr(),
            *(learned or (None, None)),
            pixel_stride(grad),
            pixel_stride(grad_x),
            1,
        )

    def _through_skips(self, state: int, last: Tensor) -> Tensor:
        """The gradient of a state from its readers' skips, added to what its own reader has left."""
        x, skips = self.states[state], self.maps[state].skips
        readers = [self.nodes[node] for node, _ in OUTGOING[state]]
        if skips is None:
            grad_x = self.nodes[state] if state >= INPUTS else torch.empty_like(x)
            terms = [term(grad, rows[0]) for grad, rows in zip(readers, last, strict=True)]
            call("combine", grad_x, 1, [*terms, term(grad_x)] if state >= INPUTS else terms, grad_x)
        elif self._stride(state) == 1:
            grad_x = self.nodes[state] if state >= INPUTS else torch.zeros_like(x)
            assert self.static.masks is not None
            for (_, edge), grad, rows in zip(OUTGOING[state], readers, last, strict=True):
                mask = self.static.masks[edge]
                grad_x += (grad if mask is None else grad * mask) * rows[0].to(grad.dtype)
        else:
            grad_x, grads = torch.zeros_like(x), torch.empty_like(skips)
            for grad, skip, rows, to in zip(readers, skips, last, grads, strict=True):
                call("combine", to, 1, [term(grad, rows[0]), term(skip, rows[1], rows[2])], to)
            self._through_skip_convs(state, grads, grad_x)
        if state < INPUTS:
            self.inputs[state] = grad_x
        return grad_x

    def _through_skip_convs(self, state: int, grads: Tensor, grad_x: Tensor) -> None:
        """Back through the convolutions of the skips that reduce; `grads` [edges, B, H', W', C]."""
        x, start = self.states[state], 0
        for which, part in enumerate(by_parity(x)):
            weights = self.arguments.skip_weights(state, which)
            stop = start + weights.shape[1]
            grad = grads[..., start:stop].flatten(1, 3)
            if self.learns:
                first = len(self.arguments.convolutions) + state * 2 * len(weights) + which
                learned = self.learned[first : first + 2 * len(weights) : 2]
                for to, own in zip(learned, grad.mT @ part.flatten(0, 2), strict=True):
                    to.copy_(own.view_as(to))
            back = grad.transpose(0, 1).flatten(1) @ weights.flatten(0, 1)
            pixels = grad_x[:, which::2, which::2]
            pixels += (back.view_as(part) * (part > 0))[:, : pixels.shape[1], : pixels.shape[2]]
            start = stop

    def _through_pools(self, state: int, last: Tensor, grad_x: Tensor) -> None:
        """Back through both poolings; `last` holds their coefficients, [edges, 2, 3, C]."""
        if not any(self.static.computes(edge, pool) for _, edge in OUTGOING[state] for pool in (MAX, MEAN)):
            return
        maps, x = self.maps[state], self.states[state]
        grads, shared = torch.empty_like(maps.pools), last.sum(dim=0)
        for pool, grad in enumerate(grads):
            terms = [
                term(self.nodes[node], last[index, pool, 0])
                for index, (node, _) in enumerate(OUTGOING[state])
            ]
            terms.append(term(maps.pools[pool], shared[pool, 1], shared[pool, 2]))
            call("combine", grad, 1, terms, grad)
        stride, pixel = self._stride(state), pixel_stride(grad_x)
        call("pool_backward", x, stride, x, maps.pools[0], *grads, grad_x, pixel)


_BACK = [COLUMNS.index(column) for column in range(1, len(COLUMNS) + 1)]
"""Where each column of the weights stands among the maps that go into a node."""
