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
    addresses,
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
        self.learns = any(wanted[INPUTS + 1 :])
        self.weights = torch.zeros_like(arguments.weights)
        learned = [*arguments.convolutions, *arguments.skip_convs]
        self.learned = [torch.empty_like(weight) for weight in learned if self.learns]

    def run(self, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        """The gradients of all tensors that went in; `dtype` is that of the weights of the candidates."""
        for state in reversed(range(len(OUTGOING))):
            self._state(state)
        s0, s1 = (self.grads[state].permute(0, 3, 1, 2) if state in self.grads else None for state in (0, 1))
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
        grad_x = self._through_skips_and_pools(state, last)
        between_at, first_at, last_at = (addresses(whole, 2) for whole in (between, first, last))
        x, maps_at = self.states[state].data_ptr(), addresses(maps.convolutions, 2)
        jobs = [
            self._job(
                *(edge, convolution, x, maps_at[index][convolution]),
                *(
                    (between_at[index][convolution], first_at[index][convolution])
                    if convolution in FIRST
                    else (self.nodes[node].data_ptr(), last_at[index][convolution - len(FIRST)])
                ),
                to=grad_x.data_ptr(),
                to_pixel=pixel_stride(grad_x),
                accumulate=1,
            )
            for index, (node, edge) in enumerate(OUTGOING[state])
            for convolution in ON_STATE
            if self.static.computes(edge, convolution)
        ]
        if jobs:
            call("backward", self.states[state], self._stride(state), jobs)

    def _stride(self, state: int) -> int:
        return self.static.stride if state < INPUTS else 1

    def _sums(self, state: int) -> Tensor:
        """Sums over pixels: of g * u for the maps that an edge adds to its node, of g; [edges, 8, C]."""
        maps, x, outgoing = self.maps[state], self.states[state], OUTGOING[state]
        constant, nodes = one(x), [self.nodes[node] for node, _ in outgoing]
        terms, rows = [], []
        for index, row in enumerate(maps.into_nodes(x, maps.norm[:, INTO_NODE], nodes)):
            wanted = self.static.into_node(outgoing[index].edge)
            terms += [row[column] for column in wanted]
            terms.append(Term(None, None, constant.data_ptr(), 0, row[0].map, row[0].map_pixel))
            rows += [index * (len(COLUMNS) + 1) + column for column in (*wanted, len(COLUMNS))]
        found = constant.new_empty(len(terms), x.shape[3])
        call("dots", nodes[0], 1, terms, found)
        size = (len(outgoing), len(COLUMNS) + 1, x.shape[3])
        if self.static.computed is None:
            return found.view(size)
        sums = constant.new_zeros(size)
        sums.view(-1, x.shape[3])[rows] = found
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
        maps_at, between_at = addresses(maps.convolutions, 2), addresses(between, 2)
        norm_at, sums_at, last_at = (addresses(whole, 2) for whole in (maps.norm, sums, last))
        jobs = [
            self._job(
                *(edge, second, maps_at[index][first], maps_at[index][second]),
                *(self.nodes[node].data_ptr(), last_at[index][second - len(FIRST)]),
                to=between_at[index][first],
                to_pixel=between.shape[-1],
                prologue=norm_at[index][first],
                sums=sums_at[index][first],
            )
            for index, (node, edge) in enumerate(OUTGOING[state])
            for first, second in zip(FIRST, SECOND, strict=True)
            if self.static.computes(edge, first)
        ]
        if jobs:
            call("backward", between[0, 0], 1, jobs)
        norm = maps.norm[:, : len(FIRST)]
        return between, self._epilogue(norm[:, :, 0], norm, sums[:, :, 0], sums[:, :, 1])

    def _job(
        self,
        edge: int,
        convolution: int,
        x: int,
        y: int,
        grad: int,
        epilogue: int,
        *,
        to: int,
        to_pixel: int,
        prologue: int | None = None,
        sums: int | None = None,
        accumulate: int = 0,
    ) -> Job:
        """The backward pass of a convolution from `x` to `y`; both, gradients and coefficients are addresses.

        Args:
            edge: the edge of the cell.
            convolution: which of the edge's, in the order of `KERNELS`.
            x: what it reads, [B, H, W, C].
            y: the output before BatchNorm, [B, H', W', C].
            grad: gradient behind BatchNorm, [B, H', W', C].
            epilogue: p, q, r that take it through BatchNorm, [3, C].
            to: receives the gradient of what is read, [B, H, W, to_pixel].
            to_pixel: elements of that from one pixel to the next.
            prologue: scale and shift of what is read, [2, C]; None: 1 and 0.
            sums: receives the sums that BatchNorm before it needs, [2, C].
            accumulate: whether the gradient is added to what `to` holds.
        """
        start, channels = 2 * (edge * len(KERNELS) + convolution), self.states[0].shape[3]
        learned = [weight.data_ptr() for weight in self.learned[start : start + 2]]
        return Job(
            *(x, *self.arguments.convolution(edge, convolution), prologue, y, sums, *KERNELS[convolution]),
            *(grad, epilogue, to, *(learned or (None, None)), channels, to_pixel, accumulate),
        )

    def _through_skips_and_pools(self, state: int, last: Tensor) -> Tensor:
        """The gradient of a state from its readers' skips and poolings, added to what its reader has left.

        One call adds up what goes through either, and reads the gradient of each reader once.
        """
        maps, x, outgoing = self.maps[state], self.states[state], OUTGOING[state]
        readers, rows = [self.nodes[node] for node, _ in outgoing], addresses(last, 3)
        is_first, is_reduced = state < INPUTS, self._stride(state) == 2
        fresh = torch.empty_like if maps.skips is None else torch.zeros_like
        if is_first:
            self.grads[state] = fresh(self.whole[state])
        grad_x = self.grads[state][..., : x.shape[3]]
        skip_grads = torch.empty_like(maps.skips) if maps.skips is not None and is_reduced else None
        if skip_grads is not None and maps.skips is not None:
            terms = [
                added
                for grad, skip, own, to in zip(readers, maps.skips, rows, skip_grads, strict=True)
                for added in (term(grad, to, own[-1][0]), term(skip, to, *own[-1][1:]))
            ]
        elif self.static.masks is None:
            terms = [term(grad, grad_x, own[-1][0]) for grad, own in zip(readers, rows, strict=True)]
            terms += [] if is_first else [term(grad_x, grad_x)]
        else:
            terms = []
            for (_, edge), grad, own in zip(outgoing, readers, last[:, -1, 0], strict=True):
                mask = self.static.masks[edge]
                grad_x += (grad if mask is None else grad * mask) * own.to(grad.dtype)
        pools = slice(MAX - len(FIRST), SKIP - len(FIRST))
        grads, shared = torch.empty_like(maps.pools), last[:, pools].sum(dim=0)
        is_pooled = any(self.static.computes(edge, pool) for _, edge in outgoing for pool in (MAX, MEAN))
        if is_pooled:
            for pool, (to, own) in enumerate(zip(grads, addresses(shared, 2), strict=True)):
                terms += [
                    term(grad, to, row[pools][pool][0]) for grad, row in zip(readers, rows, strict=True)
                ]
                terms.append(term(maps.pools[pool], to, *own[1:]))
        if terms:
            call("combine", readers[0], 1, terms)
        if skip_grads is not None:
            self._through_skip_convs(state, skip_grads, grad_x)
        if is_pooled:
            to = (grad_x, pixel_stride(grad_x))
            call("pool_backward", x, self._stride(state), x, maps.pools[0], *grads, *to)
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


_BACK = [COLUMNS.index(column) for column in range(1, len(COLUMNS) + 1)]
"""Where each column of the weights stands among the maps that go into a node."""
