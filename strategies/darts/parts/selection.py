"""Choosing operations and inputs by what the supernet loses without them (Wang et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from search_spaces import Space
from search_spaces.errors import UserError
from search_spaces.sizes import EdgeCosts
from strategies.darts.parts.perturbation import Rows
from strategies.interfaces import SearchContext
from strategies.projection import edge_costs, solve


class Selection:
    """Which operation each edge has, and which edges each node keeps, as far as it is decided.

    Attributes:
        operations: column of an edge's operation, [edges] per kind of cell; -1: not decided.
        removed: whether an edge is removed, bool [edges] per kind of cell.
    """

    def __init__(self, context: SearchContext, space: Space) -> None:
        self._context, self._space = context, space
        self.operations = {kind: torch.full((space.edges,), -1) for kind in space.kinds}
        self.removed = {kind: torch.zeros(space.edges, dtype=torch.bool) for kind in space.kinds}
        self._nodes: list[range] = []  # the edges that enter each node
        for node in space.node_inputs:
            first = self._nodes[-1].stop if self._nodes else 0
            self._nodes.append(range(first, first + node.edges))

    def applied(self, rows: Rows) -> Rows:
        """The weights of the candidates, with those of decided edges replaced by 0 and 1."""
        found = {}
        for kind, row in rows.items():
            chosen, removed = self.operations[kind].to(row.device), self.removed[kind].to(row.device)
            fixed = one_hot(chosen.clamp_min(0), row.shape[-1]).to(row.dtype)
            row = torch.where((chosen >= 0)[:, None], fixed, row)
            found[kind] = torch.where(removed[:, None], torch.zeros_like(row), row)
        return found

    def decide(self, kind: str, rng: np.random.Generator, score: Callable[[str, Tensor], float]) -> None:
        """Make the next choice in cells of one kind: operations first, then inputs, each of a random place.

        Args:
            kind: `normal` or `reduce`.
            rng: draws the edge or node.
            score: accuracy of the supernet without some candidates, bool [edges, candidates], of that kind.
        """
        undecided = [edge for edge in range(self._space.edges) if self.operations[kind][edge] < 0]
        if undecided:
            self._decide_operation(kind, undecided[rng.integers(len(undecided))], score)
            return
        nodes = [
            node
            for node, inputs in enumerate(self._space.node_inputs)
            if len(self._inputs(kind, node)) > inputs.kept
        ]
        self._decide_inputs(kind, nodes[rng.integers(len(nodes))], score)

    def _decide_operation(self, kind: str, edge: int, score: Callable[[str, Tensor], float]) -> None:
        """Keep the operation without which the accuracy is lowest; of equal ones the first."""
        scores: dict[int, float] = {}
        for column in np.flatnonzero(self._space.derivable[kind][edge]).tolist():
            self.operations[kind][edge] = column
            if not self._fits():
                continue
            self.operations[kind][edge] = -1
            without = self._nothing()
            without[edge, column] = True
            scores[column] = score(kind, without)
        self.operations[kind][edge] = min(scores, key=lambda column: scores[column])

    def _decide_inputs(self, kind: str, node: int, score: Callable[[str, Tensor], float]) -> None:
        """Remove one edge after the other, each time that without which the accuracy is highest.

        Of equal ones the last goes, as in the authors' code (sota/cnn/projection.py, line 95).
        """
        while len(self._inputs(kind, node)) > self._space.node_inputs[node].kept:
            scores: dict[int, float] = {}
            for edge in self._inputs(kind, node):
                self.removed[kind][edge] = True
                if self._fits():
                    without = self._nothing()
                    without[edge] = True
                    self.removed[kind][edge] = False
                    scores[edge] = score(kind, without)
                self.removed[kind][edge] = False
            self.removed[kind][max(scores, key=lambda edge: (scores[edge], edge))] = True

    def _nothing(self) -> Tensor:
        return torch.zeros(self._space.edges, len(self._space.candidates), dtype=torch.bool)

    def _inputs(self, kind: str, node: int) -> list[int]:
        return [edge for edge in self._nodes[node] if not self.removed[kind][edge]]

    def _fits(self) -> bool:
        """Whether the choices so far can still end within the limits."""
        limits = self._context.limits
        if any(self._least(edge_costs(limit)) > limit.maximum for limit in limits):
            return False
        if len(limits) < 2:
            return True
        allowed = {kind: mask.copy() for kind, mask in self._space.derivable.items()}
        for kind, mask in allowed.items():
            for edge, column in enumerate(self.operations[kind].tolist()):
                if column >= 0:
                    mask[edge] &= np.arange(mask.shape[1]) == column
            mask[self.removed[kind].numpy()] = False
        try:
            solve(
                {kind: np.zeros(mask.shape) for kind, mask in allowed.items()}, self._space, limits, allowed
            )
        except UserError:
            return False
        return True

    def _least(self, costs: EdgeCosts) -> int:
        """Smallest size with which the choices so far can end."""
        total = costs.base
        for kind in self._space.kinds:
            for node, (edges, inputs) in enumerate(zip(self._nodes, self._space.node_inputs, strict=True)):
                cheapest = sorted(
                    self._edge_cost(costs, kind, edge, edge - edges.start)
                    for edge in self._inputs(kind, node)
                )
                total += sum(cheapest[: inputs.kept])
        return total

    def _edge_cost(self, costs: EdgeCosts, kind: str, edge: int, state: int) -> int:
        column = int(self.operations[kind][edge])
        columns = np.flatnonzero(self._space.derivable[kind][edge]) if column < 0 else [column]
        return min(costs.edge(kind, self._space.candidates[index], state) for index in columns)

    def state_dict(self) -> dict[str, Any]:
        """What is decided."""
        return {"operations": self.operations, "removed": self.removed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.operations = {kind: table.clone() for kind, table in state["operations"].items()}
        self.removed = {kind: table.clone() for kind, table in state["removed"].items()}
