"""The controller of ENAS: an LSTM that samples cells, and REINFORCE (Pham et al., ICML 2018, section 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import AbstractGenotype, Space
from search_spaces.registry import default
from strategies.builtin import EnasOptions

Memory = tuple[Tensor, Tensor]
"""Hidden state and cell state of the LSTM, [n, hidden] each."""


@dataclass(frozen=True)
class SampledCells:
    """Cells that the controller has sampled.

    Attributes:
        genotypes: the cells.
        log_prob: log-probability of each sample, [n].
        entropy: entropy summed over the decisions of each sample, [n].
    """

    genotypes: list[AbstractGenotype]
    log_prob: Tensor
    entropy: Tensor


class _Decisions:
    """Makes one decision after the other, for several cells at a time.

    Args:
        count: number of cells.
        generator: random generator of the draws; None: every decision is the most probable one.

    Attributes:
        log_prob: log-probability of the decisions so far, [n].
        entropy: entropy summed over them, [n].
    """

    def __init__(self, count: int, generator: torch.Generator | None) -> None:
        self._generator = generator
        self.log_prob, self.entropy = torch.zeros(count), torch.zeros(count)

    def __call__(self, logits: Tensor) -> Tensor:
        """Decide by logits [n, choices]; returns the choices, int64 [n]."""
        log_probs = logits.log_softmax(dim=1)
        probs = log_probs.exp()
        if self._generator is None:
            chosen = probs.argmax(dim=1)
        else:
            chosen = torch.multinomial(probs, 1, generator=self._generator)[:, 0]
        self.log_prob = self.log_prob + log_probs.gather(1, chosen[:, None])[:, 0]
        self.entropy = self.entropy + torch.special.entr(probs).sum(dim=1)
        return chosen


class Controller(nn.Module):
    """Samples one kind of cell after the other: in DARTS the normal cell, then the reduction cell.

    Each node gets its first input, its second input and two operations, in this order; where the space leaves
    no choice of inputs, an operation for each of its edges.
    Inputs are chosen by attention over the states so far. In the space of ENAS a node may read one state
    twice; here the first input is masked when the second is chosen, so that every sampled cell is one of the
    space and no probability is spent on others. ENAS's bias towards separable convolutions is not used: all
    operations start equal.

    Args:
        options: options of ENAS.
        space: the search space; None: that of DARTS.
    """

    def __init__(self, options: EnasOptions, space: Space | None = None) -> None:
        super().__init__()
        size = options.hidden
        self.options, self.space = options, space or default()
        masks = torch.tensor([self.space.derivable[kind].tolist() for kind in self.space.kinds])
        columns = [index for index in range(masks.shape[-1]) if masks[..., index].any()]
        self.operations = [self.space.candidates[index] for index in columns]
        self.allowed = dict(zip(self.space.kinds, masks[..., columns], strict=True))
        self.lstm = nn.LSTMCell(size, size)
        self.begin = nn.Parameter(torch.empty(size))
        self.state_key = nn.Linear(size, size, bias=False)
        self.query = nn.Linear(size, size, bias=False)
        self.attention = nn.Linear(size, 1, bias=False)
        self.operation = nn.Linear(size, len(self.operations), bias=False)
        self.embedding = nn.Embedding(len(self.operations), size)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw all weights uniformly from -0.1 to 0.1."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-0.1, 0.1, generator=generator)

    def forward(self, count: int, generator: torch.Generator | None = None) -> SampledCells:
        """Sample `count` cells; without a generator every decision is the most probable one."""
        decide, start = _Decisions(count, generator), self.begin.expand(count, -1)
        memory = (torch.zeros_like(start), torch.zeros_like(start))
        edges: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for kind in self.space.kinds:
            edges[kind], memory = self._sample_cell(kind, start, memory, decide)
        genotypes = []
        for row in range(count):
            cells = {
                kind: tuple((self.operations[int(op[row])], int(state[row])) for op, state in chosen)
                for kind, chosen in edges.items()
            }
            genotypes.append(self.space.genotype(cells))
        return SampledCells(genotypes, decide.log_prob, decide.entropy)

    def _sample_cell(
        self, kind: str, start: Tensor, memory: Memory, decide: _Decisions
    ) -> tuple[list[tuple[Tensor, Tensor]], Memory]:
        """Sample a cell of one kind, node by node.

        Args:
            kind: kind of the cell.
            start: what the LSTM reads before the first decision of a node, [n, hidden].
            memory: state of the LSTM.
            decide: makes the decisions.

        Returns:
            Operation and input of every edge, int64 [n] each, and the state of the LSTM.
        """
        nodes = self.space.node_inputs
        states: list[Tensor] = []
        chosen: list[tuple[Tensor, Tensor]] = []
        first_edge = 0
        for _ in range(nodes[0].edges):
            memory = self.lstm(start, memory)
            states.append(memory[0])
        for node in nodes:
            inputs: list[Tensor] = []
            last = start
            if not self.space.chooses_inputs:
                inputs = [torch.full((len(start),), state) for state in range(node.edges)]
            for _ in range(node.kept - len(inputs)):
                memory = self.lstm(last, memory)
                stack = torch.stack(states, dim=1)
                inputs.append(decide(self._input_logits(stack, memory[0], inputs)))
                last = stack[torch.arange(len(start)), inputs[-1]]
            for state in inputs:
                memory = self.lstm(last, memory)
                logits = self._squash(self.operation(memory[0]), self.options.op_tanh_reduction)
                if not (allowed := self.allowed[kind][first_edge + state]).all():
                    logits = logits.masked_fill(~allowed, -torch.inf)
                operation = decide(logits)
                chosen.append((operation, state))
                last = self.embedding(operation)
            memory = self.lstm(last, memory)
            states.append(memory[0])
            first_edge += node.edges
        return chosen, memory

    def _input_logits(self, states: Tensor, hidden: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """Logits of a node's next input, [n, states]: its first one cannot be chosen again.

        Args:
            states: hidden states of the nodes so far, [n, states, hidden].
            hidden: hidden state of the LSTM, [n, hidden].
            inputs: the node's inputs so far, int64 [n] each.
        """
        keys = torch.tanh(self.state_key(states) + self.query(hidden)[:, None])
        logits = self._squash(self.attention(keys)[:, :, 0], 1.0)
        return logits.scatter(1, inputs[0][:, None], -torch.inf) if inputs else logits

    def _squash(self, logits: Tensor, reduction: float) -> Tensor:
        """Scale logits by the temperature and bound them by a tanh, so that no decision becomes certain."""
        return self.options.tanh_constant / reduction * torch.tanh(logits / self.options.temperature)


class Reinforce:
    """Trains a controller by policy gradient against a moving average of the reward.

    Args:
        options: options of ENAS.
        seed: random seed of the controller's initial weights.
        space: the search space; None: that of DARTS.

    Attributes:
        controller: the controller.
        baseline: moving average of the reward; None before the first.
    """

    def __init__(self, options: EnasOptions, seed: int, space: Space | None = None) -> None:
        self.options = options
        self.controller = Controller(options, space)
        self.controller.reset_parameters(torch.Generator().manual_seed(seed))
        # As in the authors' code (github.com/melodyguan/enas, src/utils.py, line 218): no first moment, and
        # an eps so large that steps are in proportion to rewards, which differ by little. Its L2 term has
        # the weight 0 (src/cifar10/main.py, line 71).
        self.optimizer = torch.optim.Adam(
            self.controller.parameters(), options.controller_lr, betas=(0.0, 0.999), eps=1e-3
        )
        self.baseline: float | None = None

    def step(
        self, rewards: Callable[[Sequence[AbstractGenotype]], Sequence[float]], generator: torch.Generator
    ) -> float:
        """Sample cells, reward them and take one step of Adam.

        Args:
            rewards: returns a reward from 0 to 1 for each cell.
            generator: random generator of the samples.

        Returns:
            The mean reward.
        """
        options = self.options
        cells = self.controller(options.aggregate, generator)
        reward = torch.tensor(list(rewards(cells.genotypes)), dtype=torch.float32)
        regularized = reward + options.entropy_weight * cells.entropy.detach()
        advantage = torch.tensor([self._advantage(float(value)) for value in regularized])
        loss = -(cells.log_prob * advantage).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(reward.mean())

    def _advantage(self, reward: float) -> float:
        """Reward above the moving average.

        The average starts at the first reward: started at 0, it would favour whatever was sampled first.
        """
        before = reward if self.baseline is None else self.baseline
        self.baseline = before - (1 - self.options.baseline_decay) * (before - reward)
        return reward - self.baseline

    def state_dict(self) -> dict[str, Any]:
        """Weights of the controller, state of Adam, and baseline."""
        return {
            "controller": self.controller.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.controller.load_state_dict(state["controller"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
