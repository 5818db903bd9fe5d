"""A step of SGD on a CPU with torch's fused kernel, for the weights of which it gives the same bits."""

from __future__ import annotations

import torch
from torch import Tensor

WHOLE_VECTORS = 16
"""So many numbers are whole vectors on any x86-64; the fused kernel rounds what is left over differently."""


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """Take a step of SGD; on a CPU, one call of torch updates all weights that the fused kernel suits.

    They are chosen anew in every step, and a state dict says nothing of it: a search may resume on another
    device.

    Args:
        optimizer: SGD with one group of weights, which lie on one device.
    """
    [group] = optimizer.param_groups
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    if group["params"][0].is_cpu:
        for weight in group["params"]:
            momentum = optimizer.state.get(weight, {}).get("momentum_buffer")
            parts[_suits(weight, weight.grad, momentum)].append(weight)
    if parts[True]:
        optimizer.param_groups = [
            {**group, "params": parts[True], "fused": True},
            {**group, "params": parts[False]},
        ]
    try:
        optimizer.step()
    finally:
        optimizer.param_groups = [group]


def _suits(weight: Tensor, grad: Tensor | None, momentum: Tensor | None) -> bool:
    """Whether the fused kernel, which takes no account of strides, updates a weight as plain SGD does.

    The kernel starts the momentum of all weights or of none; in a search some get their first gradient late.
    """
    return (
        grad is not None
        and momentum is not None
        and weight.numel() % WHOLE_VECTORS == 0
        and weight.is_contiguous()
        and grad.is_contiguous()
        and momentum.is_contiguous()
    )
