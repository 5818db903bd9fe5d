"""Scores of untrained networks, by name: zero-cost proxies for the accuracy that training would give.

A score is one decorated function in a module here: it maps a network and batches to a number. It declares
what it sees of the data (nothing, images, or images and labels) and is given no more, so that a score that
sees nothing is an exact null arm for any claim about proxy sets.
"""

from strategies.scores import activations, gradients, sizes
from strategies.scores.base import SCORES, Batch, Score, Sees, find, score

__all__ = ["SCORES", "Batch", "Score", "Sees", "activations", "find", "gradients", "score", "sizes"]
