"""Scores that see neither images nor labels: sizes of the network and counts of its operations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from search_spaces import Genotype
from search_spaces.errors import UserError
from search_spaces.sizes import mult_adds, parameters
from strategies.scores.base import Batch, Sees, score

FAMILIES = ("sep_conv", "dil_conv", "skip_connect", "max_pool", "avg_pool")


@score("params", "number of parameters", Sees.NOTHING)
def count_parameters(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Number of parameters of the scored network."""
    return float(parameters(network))


@score("mult_adds", "multiply-adds per image", Sees.NOTHING)
def count_mult_adds(network: nn.Module, batches: Sequence[Batch]) -> float:
    """Multiply-adds of the scored network for one image of the batches' size."""
    return float(mult_adds(network, batches[0][0].shape[-1]))


def _register_count(family: str) -> None:
    @score(f"count_{family}", f"number of {family} operations in the normal cell", Sees.NOTHING)
    def count(network: nn.Module, batches: Sequence[Batch]) -> float:
        genotype = getattr(network, "genotype", None)
        if not isinstance(genotype, Genotype):
            raise UserError(
                f"count_{family} is a score of cells, and {type(network).__name__} has no genotype"
            )
        return float(sum(operation.startswith(family) for operation, _ in genotype.normal))


for _family in FAMILIES:
    _register_count(_family)
