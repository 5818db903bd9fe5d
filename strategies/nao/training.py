"""Trains NAO's controller on scored architectures, and finds better ones with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss, nll_loss

from search_spaces.coding import Code
from strategies.nao.model import Controller
from strategies.nao.options import NaoOptions
from strategies.nao.tokens import Tokens


class CellOptimizer:
    """The controller of one space, with its tokens.

    Args:
        options: options of NAO.
        tokens: sequences of the space.
        seed: random seed of the initial weights.

    Attributes:
        controller: encoder, predictor and decoder.
    """

    def __init__(self, options: NaoOptions, tokens: Tokens, seed: int) -> None:
        self.options, self.tokens = options, tokens
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.controller = Controller(options, tokens)

    def fit(self, codes: Sequence[Code], scores: Sequence[float], rng: np.random.Generator) -> float:
        """Train the controller to predict scores and to write the architectures that it has read.

        In every pass, each sequence has the edges of one node of each cell in the other order, as an
        architecture does not depend on it.

        Args:
            codes: scored architectures.
            scores: their scores; they are scaled to the range from 0 to 1.
            rng: random generator of the order, of the exchanged edges and of the dropout.

        Returns:
            Loss of the last pass.
        """
        options, controller = self.options, self.controller
        sequences = [self.tokens.encode(code) for code in codes]
        values = np.asarray(scores, dtype=np.float64)
        targets = torch.tensor(((values - values.min()) / (np.ptp(values) or 1.0)).tolist())
        optimizer = torch.optim.Adam(
            controller.parameters(), options.controller_lr, weight_decay=options.controller_weight_decay
        )
        size, loss = options.controller_batch_size, 0.0
        controller.train()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(int(rng.integers(2**62)))
            for _ in range(options.controller_epochs):
                order, loss = rng.permutation(len(sequences)), 0.0
                for start in range(0, len(order), size):
                    rows = order[start : start + size]
                    inputs = torch.tensor([self.tokens.swapped(sequences[row], rng) for row in rows])
                    loss += self._step(optimizer, inputs, targets[rows]) * len(rows) / len(order)
        controller.eval()
        return loss

    def _step(
        self, optimizer: torch.optim.Optimizer, sequences: torch.Tensor, targets: torch.Tensor
    ) -> float:
        """One step on sequences int64 [B, L] with targets [B]; returns the loss."""
        predicted, log_probs = self.controller(sequences)
        weight = self.options.predictor_weight
        loss = weight * mse_loss(predicted, targets) + (1 - weight) * nll_loss(
            log_probs.flatten(0, 1), sequences.flatten()
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.controller.parameters(), self.options.controller_clip_grad)
        optimizer.step()
        return loss.item()

    def improve(
        self, best: Sequence[Code], count: int, known: Collection[Code], fits: Callable[[Code], bool]
    ) -> list[Code]:
        """New architectures along the predictor's gradient, from shorter to longer steps.

        Args:
            best: architectures to start from.
            count: largest number of new ones.
            known: architectures that are not new.
            fits: whether an architecture is within the limit.
        """
        sequences = torch.tensor([self.tokens.encode(code) for code in best])
        found: list[Code] = []
        seen = set(known)
        for step in range(1, self.options.max_step + 1):
            with torch.enable_grad():
                written = self.controller.improved(sequences, step)
            for code in map(self.tokens.decode, written.tolist()):
                if len(found) < count and code not in seen and fits(code):
                    found.append(code)
                seen.add(code)
            if len(found) == count:
                break
        return found
