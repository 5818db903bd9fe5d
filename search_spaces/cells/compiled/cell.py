"""The compiled search-time cell as an autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from search_spaces.cells.compiled.backward import Backward
from search_spaces.cells.compiled.bypass import PartialBackward
from search_spaces.cells.compiled.forward import forward
from search_spaces.cells.compiled.layout import (
    OUTGOING,
    Arguments,
    Computed,
    Layers,
    Maps,
    Static,
    split,
)
from search_spaces.genotype import CONCAT, INPUTS


def run(
    layers: list[Layers],
    s0: Tensor,
    s1: Tensor,
    weights: Tensor,
    training: bool,
    recompute: bool,
    computed: Computed | None = None,
    masks: list[Tensor | None] | None = None,
) -> Tensor:
    """The output of a cell for its preprocessed inputs.

    Args:
        layers: the layers of every edge; all BatchNorm have the epsilon and momentum of the first.
        s0: state 0, [B, C, H, W].
        s1: state 1, [B, C, H, W].
        weights: weights of the candidates, [14, 8].
        training: whether BatchNorm uses the statistics of the batch and updates the running ones.
        recompute: whether only the inputs are kept for the backward pass.
        computed: which candidates are computed; None: all.
        masks: factors of the identity skips of every edge, [B, C, H, W]; None: 1.

    Returns:
        The four nodes, [B, 4 * C, H / stride, W / stride].

    Raises:
        ValueError: the states differ in size.
    """
    if s0.shape != s1.shape:  # the loops take all sizes from state 0
        raise ValueError(f"states of different sizes: {tuple(s0.shape)} and {tuple(s1.shape)}")
    convolutions = [conv.weight for edge in layers for pair in edge.convolutions for conv in pair]
    skip_convs = [
        conv.weight
        for outgoing in OUTGOING[:INPUTS]
        for _, edge in outgoing
        for conv in layers[edge].skip_convs
    ]
    static = Static(
        stride=2 if skip_convs else 1,
        norms=[edge.norms for edge in layers],
        training=training,
        recompute=recompute,
        computed=computed,
        masks=masks and [None if mask is None else mask.permute(0, 2, 3, 1) for mask in masks],
    )
    result: Any = _Cell.apply(static, s0, s1, weights, *convolutions, *skip_convs)  # type: ignore[no-untyped-call]
    return result


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, static: Static, *tensors: Tensor) -> Tensor:
        out, maps = forward(static, Arguments.of(*tensors), updates=static.training)
        result = out.permute(0, 3, 1, 2)
        kept = [] if static.recompute else [result, *(part for state in maps for part in state)]
        ctx.static, ctx.kept = static, len(kept)
        ctx.save_for_backward(*kept, *tensors)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        static: Static = ctx.static
        kept, tensors = ctx.saved_tensors[: ctx.kept], ctx.saved_tensors[ctx.kept :]
        arguments = Arguments.of(*tensors)
        if kept:
            out = kept[0].permute(0, 2, 3, 1)
            maps = [Maps(*kept[start : start + 4]) for start in range(1, len(kept), 4)]
        else:
            out, maps = forward(static, arguments, updates=False)
        # The nodes' gradients grow in place, so the incoming one is copied. Each is read many times, which is
        # faster where its pixels adjoin.
        nodes = grad.view(len(grad), len(CONCAT), -1, *grad.shape[2:]).permute(1, 0, 3, 4, 2)
        grads = list(nodes.clone(memory_format=torch.contiguous_format))
        states = [*arguments.inputs, *split(out)]
        kind = PartialBackward if arguments.channels < states[0].shape[3] else Backward
        back = kind(static, arguments, states, maps, grads, ctx.needs_input_grad[1:])
        return (None, *back.run(tensors[2].dtype))
