"""How large a network is: parameters, and mult_adds as torch's own counter sees them."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def mult_adds(network: nn.Module, image_size: int, in_chans: int = 3) -> int:
    """Multiply-adds of convolutions and linear layers for one image of `image_size` px, in evaluation mode.

    `FlopCounterMode` counts a multiply-add as two operations and knows nothing of pooling, BatchNorm and
    activations, which is the convention of this project. Nothing is computed where the network lies on
    torch's meta device.
    """
    parameter = next(network.parameters())
    image = torch.zeros(1, in_chans, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(was_training)
    return int(counter.get_total_flops()) // 2


def parameters(network: nn.Module) -> int:
    """Number of weights, BatchNorm's included."""
    return sum(parameter.numel() for parameter in network.parameters())
