"""Gradients of the loss with respect to the weights of the candidates: of first and of second order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strategies.distributed import all_reduce_mean
from strategies.mixture import Batch, Mixture
from strategies.supernet.weights import SharedWeights

Searching = SharedWeights[Any]
"""A strategy whose supernet computes the loss with the mixture that its cells are set to."""


def batch_loss(strategy: Searching, batch: Batch) -> Tensor:
    """Mean loss [] of this process's share of a batch, which counts as backpropagated."""
    images, labels = batch
    strategy.count_images(labels)
    return cross_entropy(strategy.supernet(images), labels)


def mean_grads(strategy: Searching, loss: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Gradients of the loss of the whole batch, of which each process has computed a share.

    They are 0 where no candidate is computed: every edge has drawn `none`.
    """
    if not loss.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    own = torch.autograd.grad(loss, tensors, materialize_grads=True)
    return cast(list[Tensor], all_reduce_mean(own, strategy.evaluator.processes))


def first_order(strategy: Searching, batch: Batch, mixture: Mixture) -> list[Tensor]:
    """Gradients of a batch's loss with respect to the mixture, [14, 8] each; none of the weights."""
    with frozen(strategy.shared_weights):
        return mean_grads(strategy, batch_loss(strategy, batch), list(mixture.values()))


def mixture_and_weights(
    strategy: Searching, loss: Tensor, mixture: Mixture
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Gradients of a loss with respect to the mixture, [14, 8] each, and to the shared weights."""
    tables = list(mixture.values())
    own = torch.autograd.grad(loss, [*tables, *strategy.shared_weights], allow_unused=True)
    of_mixture = [
        torch.zeros_like(table) if grad is None else grad for table, grad in zip(tables, own, strict=False)
    ]
    grads = all_reduce_mean((*of_mixture, *own[len(tables) :]), strategy.evaluator.processes)
    return cast(list[Tensor], grads[: len(mixture)]), grads[len(mixture) :]


@torch.no_grad()
def second_order(strategy: Searching, training: Batch, validation: Batch, mixture: Mixture) -> list[Tensor]:
    """Gradients of L_val(w'(a), a) with respect to the mixture a, [14, 8] each.

    w' is w after one step of SGD on L_train(w, a), momentum and weight decay included:

        dL_val/da - lr * d2L_train/(da dw) * v,    v = dL_val/dw, both at w'

    (Liu, Simonyan, Yang, ICLR 2019, equation 7). The product comes from central differences (equation 8),

        (dL_train/da at w + epsilon * v  -  dL_train/da at w - epsilon * v) / (2 * epsilon),

    with epsilon = 0.01 / norm(v). Weights and running statistics are restored.

    Args:
        strategy: the strategy, whose supernet uses the mixture.
        training: batch of the weight split.
        validation: batch of the alpha split.
        mixture: weights of the candidates, leaves of autograd.
    """
    weights, tables = strategy.shared_weights, list(mixture.values())
    with _restored(strategy.supernet, weights) as saved_weights:
        with torch.enable_grad(), frozen(tables):
            train_grads = mean_grads(strategy, batch_loss(strategy, training), weights)
        _take_sgd_step(strategy.optimizer, weights, train_grads)
        with torch.enable_grad():
            grads = mean_grads(strategy, batch_loss(strategy, validation), [*tables, *weights])
        mixture_grads, v = grads[: len(tables)], grads[len(tables) :]
        norm = nn.utils.get_total_norm(v)
        epsilon = 0.01 / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        perturbed_grads = []  # dL_train/da at w + epsilon * v and at w - epsilon * v
        for sign in (1, -1):
            steps = torch._foreach_mul(v, sign * epsilon)
            torch._foreach_copy_(weights, torch._foreach_add(saved_weights, steps))
            with torch.enable_grad():
                perturbed_grads.append(first_order(strategy, training, mixture))
    factor = strategy.optimizer.param_groups[0]["lr"] / (2 * epsilon)
    return [
        grad - factor * (plus - minus)
        for grad, plus, minus in zip(mixture_grads, *perturbed_grads, strict=True)
    ]


@contextlib.contextmanager
def _restored(supernet: nn.Module, weights: list[Tensor]) -> Iterator[list[Tensor]]:
    """Restore weights and running statistics after the block, which gets a copy of the weights."""
    floats = [*weights, *(buffer for buffer in supernet.buffers() if buffer.is_floating_point())]
    counts = [buffer for buffer in supernet.buffers() if not buffer.is_floating_point()]
    lists = [tensors for tensors in (floats, counts) if tensors]  # one kernel copies one type
    saved = [[torch.empty_like(tensor) for tensor in tensors] for tensors in lists]
    for copies, tensors in zip(saved, lists, strict=True):
        torch._foreach_copy_(copies, tensors)
    try:
        yield saved[0][: len(weights)]
    finally:
        for copies, tensors in zip(saved, lists, strict=True):
            torch._foreach_copy_(tensors, copies)


def _take_sgd_step(optimizer: torch.optim.Optimizer, weights: list[Tensor], grads: list[Tensor]) -> None:
    """Take the step that SGD would take: w - lr * (grad + weight_decay * w + momentum * buffer).

    The optimizer's state stays as it is; `grads` are overwritten.
    """
    group = optimizer.param_groups[0]
    torch._foreach_add_(grads, weights, alpha=group["weight_decay"])
    states = [optimizer.state.get(weight, {}) for weight in weights]
    buffers = [state.get("momentum_buffer") for state in states]
    moving = [pair for pair in zip(grads, buffers, strict=True) if pair[1] is not None]
    if moving:
        grads_of_moving, present = zip(*moving, strict=True)
        torch._foreach_add_(grads_of_moving, present, alpha=group["momentum"])
    torch._foreach_add_(weights, grads, alpha=-group["lr"])


@contextlib.contextmanager
def frozen(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Compute no gradients for these leaf tensors inside the block."""
    leaves = list(tensors)
    for tensor in leaves:
        tensor.requires_grad_(False)
    try:
        yield
    finally:
        for tensor in leaves:
            tensor.requires_grad_(True)
