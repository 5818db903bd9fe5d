"""Scores of untrained networks, by name: zero-cost proxies for the accuracy that training would give.

A score is one function that maps a network and batches to a number, and one line here. It declares what it
sees of the data (nothing, images, or images and labels) and is given no more, so that a score that sees
nothing is an exact null arm for any claim about proxy sets.
"""

from strategies.scores.base import SCORES, Score, Sees, find, register

__all__ = ["SCORES", "Score", "Sees", "find", "register"]

_ACTIVATIONS, _GRADIENTS, _SIZES = (
    f"strategies.scores.{module}" for module in ("activations", "gradients", "sizes")
)

register(
    "nwot",
    f"{_ACTIVATIONS}:nwot",
    "log-determinant of the kernel of activation patterns (Mellor et al., ICML 2021)",
    Sees.IMAGES,
)
register(
    "swap",
    f"{_ACTIVATIONS}:swap",
    "number of distinct sample-wise activation patterns (Peng et al., ICLR 2024)",
    Sees.IMAGES,
)
register(
    "zico",
    f"{_GRADIENTS}:zico",
    "mean over deviation of gradients across batches (Li et al., ICLR 2023)",
    Sees.LABELS,
    backpropagates=True,
)
register(
    "jacov",
    f"{_GRADIENTS}:jacov",
    "correlation of the images' Jacobians (Mellor et al., first version, 2020)",
    Sees.IMAGES,
    backpropagates=True,
)
register(
    "grad_norm",
    f"{_GRADIENTS}:grad_norm",
    "norm of the weights' gradients (Abdelfattah et al., ICLR 2021)",
    Sees.LABELS,
    backpropagates=True,
)
register(
    "snip",
    f"{_GRADIENTS}:snip",
    "sensitivity of the loss to the weights (Lee, Ajanthan, Torr, ICLR 2019)",
    Sees.LABELS,
    backpropagates=True,
)
register(
    "synflow",
    f"{_GRADIENTS}:synflow",
    "products of absolute weights over all paths (Tanaka et al., NeurIPS 2020)",
)
register("params", f"{_SIZES}:count_parameters", "number of parameters")
register("mult_adds", f"{_SIZES}:count_mult_adds", "multiply-adds per image")
for _family in ("sep_conv", "dil_conv", "skip_connect", "max_pool", "avg_pool"):
    register(
        f"count_{_family}", f"{_SIZES}:count_{_family}", f"number of {_family} operations in the normal cell"
    )
