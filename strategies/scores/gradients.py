"""Scores from gradients of the loss of an untrained network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def _weights(network: nn.Module) -> list[Tensor]:
    """Weights of the convolutions and linear layers."""
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def _gradients(network: nn.Module, weights: Sequence[Tensor], batch: Batch) -> list[Tensor]:
    """Gradients of the cross-entropy of one batch; zeros for weights that the output does not depend on."""
    images, labels = batch
    loss = nn.functional.cross_entropy(network(images), labels)
    return list(torch.autograd.grad(loss, weights, materialize_grads=True))


def grad_norm(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Sum over layers of the norm of the gradient, mean over batches."""
    weights = _weights(network)
    norms = [sum(float(g.norm()) for g in _gradients(network, weights, batch)) for batch in batches]
    return sum(norms) / len(norms)


def snip(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Sum of |weight * gradient| over all weights, mean over batches."""
    weights = _weights(network)
    sums = []
    for batch in batches:
        pairs = zip(weights, _gradients(network, weights, batch), strict=True)
        sums.append(sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs))
    return sum(sums) / len(sums)


def zico(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Sum over layers of log sum (mean |gradient| / deviation), both over batches.

    A single batch is split into two, since a deviation needs two.
    """
    if len(batches) == 1:
        images, labels = batches[0]
        half = len(images) // 2
        batches = [(images[:half], labels[:half]), (images[half:], labels[half:])]
    weights = _weights(network)
    layers = zip(*(_gradients(network, weights, batch) for batch in batches), strict=True)
    total = 0.0
    for gradients in layers:
        stacked = torch.stack(list(gradients))
        mean, deviation = stacked.abs().mean(0), stacked.std(0, correction=0)
        varies = deviation > 0
        ratio = float((mean[varies] / deviation[varies]).sum())
        total += float(torch.tensor(ratio).log()) if ratio > 0 else 0.0
    return total


def jacov(network: nn.Module, batches: Sequence[Batch]) -> float:
    """-sum (log(v + k) + 1 / (v + k)), v the eigenvalues of the correlation of d(sum of logits) / d(image).

    Mean over batches, with k = 1e-5 as published.
    """
    values = []
    for images, _ in batches:
        inputs = images.detach().requires_grad_()
        (jacobian,) = torch.autograd.grad(network(inputs).sum(), inputs)
        correlation = torch.corrcoef(jacobian.flatten(1).double()).reshape(len(images), len(images))
        if not correlation.isfinite().all():
            return float("-inf")  # an image without any gradient has no correlation
        eigenvalues = torch.linalg.eigvalsh(correlation) + 1e-5
        values.append(-float((eigenvalues.log() + 1 / eigenvalues).sum()))
    return sum(values) / len(values)


def synflow(network: nn.Module, batches: Sequence[Batch]) -> float:
    """The logarithm of sum |weight * gradient|, for absolute weights and an image of ones.

    The gradient is that of the sum of the logits.

    BatchNorm is left out, as it would undo the weights' scale; computed in double precision.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = _weights(network)
    ones = torch.ones_like(batches[0][0][:1], dtype=torch.float64)
    gradients = torch.autograd.grad(network(ones).sum(), weights, materialize_grads=True)
    flow = sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True))
    return float(torch.tensor(flow, dtype=torch.float64).log())
