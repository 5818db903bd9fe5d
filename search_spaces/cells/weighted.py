"""What the search-time cells that add up candidates by weight have in common, in every space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.model_space import SearchTimeCell


class WeightedCandidates(nn.Module):
    """The candidates of one edge: [B, C, H, W] -> their weighted sum, [B, C, H / stride, W / stride].

    `none`, the first candidate, is no module: it contributes zero, whatever its weight.

    Args:
        candidates: the modules of the other candidates, in the order of the columns.
        skip: column of the identity skip, which may be dropped out.
        stride: stride of all candidates.
    """

    def __init__(self, candidates: Iterable[nn.Module], skip: int, stride: int = 1) -> None:
        super().__init__()
        self.skip, self.stride = skip, stride
        self.candidates = nn.ModuleList(candidates)

    def forward(
        self, x: Tensor, weights: Tensor, computed: list[bool] | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the candidates.

        Args:
            x: the state, [B, C, H, W].
            weights: weights of the candidates, that of `none` first.
            computed: which candidates are computed; None: all.
            mask: factors of the skip, [B, C, H, W]; None: 1.
        """
        total = None
        for column, candidate in enumerate(self.candidates, start=1):
            if computed is None or computed[column]:
                y = candidate(x)
                term = weights[column] * (y if mask is None or column != self.skip else y * mask)
                total = term if total is None else total + term
        return x[..., :: self.stride, :: self.stride] * 0 if total is None else total


class WeightedCell(SearchTimeCell):
    """A search-time cell whose nodes add up weighted candidates of every edge.

    Attributes:
        edges: a module for each edge: `WeightedCandidates`, or one that has them as `mixed`.
    """

    edges: nn.ModuleList

    def operations(self) -> list[Any]:
        """The weighted candidates of every edge."""
        edges: Iterable[Any] = self.edges
        return [getattr(edge, "mixed", edge) for edge in edges]

    def dropped(self, x: Tensor) -> Tensor:
        """The output of an edge, which `drop_path` sets to 0 for some images and scales for the others."""
        return x * self._kept((len(x), 1, 1, 1), self.drop_path, x) if self.training and self.drop_path else x

    def skip_mask(self, edge: int, size: Sequence[int], x: Tensor) -> Tensor | None:
        """Factors of the identity skip of an edge, of the type of `x`; None where all are 1.

        An element is 0 with the probability `skip_dropout`, else 1 / (1 - skip_dropout). Skips of stride 2
        have none, as in P-DARTS (Chen et al., ICCV 2019).
        """
        mixed = self.operations()[edge]
        if not (self.training and self.skip_dropout) or mixed.stride > 1:
            return None
        is_computed = self.computed is None or self.computed[edge][mixed.skip]
        return self._kept(size, self.skip_dropout, x) if is_computed else None

    def _kept(self, size: Sequence[int], rate: float, x: Tensor) -> Tensor:
        """Random factors that are 0 with probability `rate`, and else keep the mean."""
        drawn = torch.empty(tuple(size), dtype=x.dtype, device=x.device)
        return drawn.bernoulli_(1 - rate, generator=self.generator).div_(1 - rate)


def without_running_statistics(module: nn.Module) -> None:
    """Let every BatchNorm in a module use the statistics of the batch, in evaluation too."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
