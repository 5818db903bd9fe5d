"""Scores that see neither images nor labels: sizes of the network and counts of its operations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from search_spaces import AbstractGenotype
from search_spaces.errors import UserError
from search_spaces.sizes import mult_adds, parameters

Batches = Sequence[tuple[Tensor, Tensor]]


def count_parameters(network: nn.Module, batches: Batches) -> float:
    """Number of parameters of the scored network."""
    return parameters(network)


def count_mult_adds(network: nn.Module, batches: Batches) -> float:
    """Multiply-adds of the scored network for one image of the batches' size."""
    return mult_adds(network, batches[0][0].shape[-1])


def count_sep_conv(network: nn.Module, batches: Batches) -> float:
    """Number of separable convolutions in the normal cell."""
    return _count(network, "sep_conv")


def count_dil_conv(network: nn.Module, batches: Batches) -> float:
    """Number of dilated convolutions in the normal cell."""
    return _count(network, "dil_conv")


def count_skip_connect(network: nn.Module, batches: Batches) -> float:
    """Number of skips in the normal cell."""
    return _count(network, "skip_connect")


def count_max_pool(network: nn.Module, batches: Batches) -> float:
    """Number of max poolings in the normal cell."""
    return _count(network, "max_pool")


def count_avg_pool(network: nn.Module, batches: Batches) -> float:
    """Number of average poolings in the normal cell."""
    return _count(network, "avg_pool")


def _count(network: nn.Module, family: str) -> int:
    genotype = getattr(network, "genotype", None)
    if not isinstance(genotype, AbstractGenotype):
        raise UserError(f"count_{family} is a score of cells, and {type(network).__name__} has no genotype")
    return sum(name.startswith(family) for name, _ in genotype.edges(genotype.kinds[0]))
