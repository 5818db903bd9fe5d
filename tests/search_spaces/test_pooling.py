"""Average pooling with padding of its own equals torch's on a CPU, in values and gradients."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from search_spaces import pooling


def results(function, x):
    x = x.detach().requires_grad_()
    out = function(x)
    slope = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape).to(out.device)
    (grad,) = torch.autograd.grad((out * slope).sum(), x)
    return out.detach().cpu(), grad.cpu()


def torchs(x, stride):
    return avg_pool2d(x, 3, stride, 1, count_include_pad=False)


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(5, 4), (8, 8), (1, 2)])
def test_equals_torchs(size, stride, order, monkeypatch):
    monkeypatch.setattr(pooling, "_pads_itself", lambda x: True)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=order)
    found = results(pooling.AveragePool(3, stride), x)
    for one, other in zip(found, results(lambda x: torchs(x, stride), x), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-14)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_torchs_on_a_cpu(stride):
    x = torch.randn(2, 8, 7, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    found = results(pooling.AveragePool(3, stride), x.cuda())
    for one, other in zip(found, results(lambda x: torchs(x, stride), x), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
