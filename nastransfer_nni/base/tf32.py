"""Whether an NVIDIA GPU may round the factors of float32 products to TensorFloat-32, of 10 bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def tf32(allowed: bool | None) -> Iterator[None]:
    """Allow or forbid it inside the block, in convolutions and matrix products.

    Args:
        allowed: None: as it is; torch's default is convolutions only.
    """
    if allowed is None:
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
