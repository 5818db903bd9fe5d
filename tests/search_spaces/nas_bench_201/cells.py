"""A cell of NAS-Bench-201 for tests, and its output computed without the package."""

import torch
from torch.nn.functional import avg_pool2d, batch_norm, conv2d

from search_spaces.nas_bench_201 import NasBench201Genotype

TEXT = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
CELL = NasBench201Genotype.from_text(TEXT)


def output(x, texts, weights):
    """A cell of the authors' description: every node is the sum over the edges that enter it.

    Args:
        x: the input.
        texts: operations of the edges, node by node.
        weights: weights of the convolution of each edge; None for others.
    """

    def edge(name, state, weight):
        if name == "none":
            return torch.zeros_like(state)
        if name == "skip_connect":
            return state
        if name == "avg_pool_3x3":
            return avg_pool2d(state, 3, 1, 1, count_include_pad=False)
        y = conv2d(state.relu(), weight, padding=weight.shape[-1] // 2)
        return batch_norm(y, None, None, training=True)

    a, b, c, d, e, f = (
        lambda state, name=name, weight=weight: edge(name, state, weight)
        for name, weight in zip(texts, weights, strict=True)
    )
    node1 = a(x)
    node2 = b(x) + c(node1)
    return d(x) + e(node1) + f(node2)
