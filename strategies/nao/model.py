"""NAO's encoder, performance predictor and decoder (Luo et al., NeurIPS 2018, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from strategies.nao.options import NaoOptions
from strategies.nao.tokens import START, Position, Tokens


class Encoder(nn.Module):
    """Maps sequences to points of the unit sphere, one per step, and predicts the score from their mean.

    Args:
        options: options of NAO.
        vocabulary: number of tokens.
        per_step: number of tokens that are read at a time.
    """

    def __init__(self, options: NaoOptions, vocabulary: int, per_step: int) -> None:
        super().__init__()
        self.per_step = per_step
        self.embedding = nn.Embedding(vocabulary, options.hidden // per_step)
        self.lstm = nn.LSTM(options.hidden, options.hidden, batch_first=True)
        layers: list[nn.Module] = []
        size = options.hidden
        for _ in range(options.predictor_layers):
            layers += [
                nn.Linear(size, options.predictor_hidden),
                nn.ReLU(),
                nn.Dropout(options.predictor_dropout),
            ]
            size = options.predictor_hidden
        self.predictor = nn.Sequential(*layers, nn.Linear(size, 1), nn.Sigmoid())

    def forward(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Encode sequences int64 [B, L].

        Returns:
            Points [B, L / per_step, hidden], and predicted scores [B] from 0 to 1.
        """
        embedded = self.embedding(sequences).view(len(sequences), -1, self.lstm.input_size)
        points = normalize(self.lstm(embedded)[0], dim=-1)
        return points, self.predictor(summary(points))[:, 0]


def summary(points: Tensor) -> Tensor:
    """The embedding of an architecture, [B, hidden]: the mean of its points, on the unit sphere."""
    return normalize(points.mean(dim=1), dim=-1)


class Decoder(nn.Module):
    """Writes sequences, by an LSTM with attention to the encoder's points.

    Args:
        options: options of NAO.
        vocabulary: number of tokens.
    """

    def __init__(self, options: NaoOptions, vocabulary: int) -> None:
        super().__init__()
        size = options.hidden
        self.embedding = nn.Embedding(vocabulary, size)
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.query = nn.Linear(size, size, bias=False)
        self.combine = nn.Linear(2 * size, size, bias=False)
        self.token = nn.Linear(size, vocabulary)

    def forward(
        self, previous: Tensor, points: Tensor, memory: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log-probabilities of the tokens that follow.

        Args:
            previous: tokens before them, int64 [B, L].
            points: points of the encoder, [B, steps, hidden].
            memory: state of the LSTM, two of [1, B, hidden]; None: that of the start, the architecture's
                embedding.

        Returns:
            Log-probabilities [B, L, vocabulary], and the state of the LSTM.
        """
        if memory is None:
            start = summary(points)[None]
            memory = (start, start)
        states, memory = self.lstm(self.embedding(previous), memory)
        attention = (self.query(states) @ points.transpose(1, 2)).softmax(dim=2)
        mixed = torch.tanh(self.combine(torch.cat([attention @ points, states], dim=2)))
        return self.token(mixed).log_softmax(dim=2), memory

    @torch.no_grad()
    def write(self, points: Tensor, positions: Sequence[Position]) -> Tensor:
        """The most probable token at each place in turn, of those that are allowed there: int64 [B, L]."""
        last, memory = torch.full((len(points), 1), START, device=points.device), None
        tokens: list[Tensor] = []
        for position in positions:
            log_probs, memory = self(last, points, memory)
            allowed = log_probs[:, 0, position.first : position.first + position.count]
            if position.other is not None:
                allowed = allowed.scatter(1, tokens[position.other] - position.first, -torch.inf)
            last = allowed.argmax(dim=1, keepdim=True) + position.first
            tokens.append(last)
        return torch.cat(tokens, dim=1)


class Controller(nn.Module):
    """Encoder with predictor, and decoder.

    Args:
        options: options of NAO.
        tokens: sequences of the space.
    """

    def __init__(self, options: NaoOptions, tokens: Tokens) -> None:
        super().__init__()
        self.positions = tokens.positions
        self.encoder = Encoder(options, tokens.vocabulary, tokens.per_step)
        self.decoder = Decoder(options, tokens.vocabulary)

    def forward(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted scores [B] and log-probabilities [B, L, vocabulary] of sequences int64 [B, L]."""
        points, predicted = self.encoder(sequences)
        previous = nn.functional.pad(sequences[:, :-1], (1, 0), value=START)
        return predicted, self.decoder(previous, points)[0]

    def improved(self, sequences: Tensor, step: float) -> Tensor:
        """Sequences int64 [B, L] of the points that one step along the predictor's gradient leads to."""
        points, predicted = self.encoder(sequences)
        (gradient,) = torch.autograd.grad(predicted.sum(), points)
        return self.decoder.write(normalize(points.detach() + step * gradient, dim=-1), self.positions)
