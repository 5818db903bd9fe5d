"""Compiled loops of the final network in training, compared with its layers in plain torch."""

import copy

import pytest
import torch

from search_spaces import DartsNetwork, separable
from search_spaces.cells.compiled import batch_norm, pointwise
from search_spaces.cells.compiled.pointwise import PointwiseConv
from search_spaces.operations import FactorizedReduce, relu_conv_bn
from search_spaces.reduction import ChannelsLastReduce
from search_spaces.separable import SeparableConvs, use_loops
from search_spaces.zoo import zoo

CELLS = ["DARTS_V2", "DARTS_V1", "PC_DARTS_image"]


def network(cell: str = "DARTS_V2", dtype: torch.dtype = torch.float64, width: int = 6) -> DartsNetwork:
    torch.manual_seed(0)
    made = DartsNetwork(zoo()[cell].genotype, width, 3, 10).to(dtype).to(memory_format=torch.channels_last)
    for parameter in made.parameters():  # BatchNorm's scales and shifts too
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def with_loops(model: DartsNetwork) -> DartsNetwork:
    result = copy.deepcopy(model)
    use_loops(result)
    for kind in (SeparableConvs, PointwiseConv):
        assert any(isinstance(module, kind) for module in result.modules())
    return result


def step(model: DartsNetwork, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The network's output, and the gradients of the images and of all parameters."""
    images = images.clone().requires_grad_()
    output = model(images)
    output.square().sum().backward()
    return output.detach(), [images.grad, *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("size", [(16, 16), (15, 10), (4, 4)])
def test_outputs_gradients_and_running_statistics_equal_the_layers(cell, size):
    plain = network(cell)
    fast = with_loops(plain)
    images = torch.randn(4, 3, *size, dtype=torch.float64)
    for model in (plain, fast):
        model.train()
    expected, found = step(plain, images), step(fast, images)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-12)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))
    for (name, one), other in zip(fast.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12, msg=name)


def test_single_precision_is_as_accurate_as_torchs():
    exact = network(width=8)
    plain = copy.deepcopy(exact).float()
    fast = with_loops(plain)
    images = torch.randn(16, 3, 16, 16, dtype=torch.float64)
    wanted = step(exact, images)[1]
    errors = [
        sum(float((one.double() - true).square().sum()) for one, true in zip(found, wanted, strict=True))
        for found in (step(plain, images.float())[1], step(fast, images.float())[1])
    ]
    assert errors[1] < 4 * errors[0]


def test_the_network_stays_what_it_is():
    plain = network(dtype=torch.float32)
    fast = with_loops(plain)
    assert list(fast.state_dict()) == list(plain.state_dict())
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(fast.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("reason", ["no compiler", "autocast", "no gradient", "frozen statistics"])
def test_what_the_loops_cannot_do_is_left_to_the_layers(reason, monkeypatch):
    for module in (separable, pointwise):
        monkeypatch.setattr(module._Loops, "apply", lambda *_: pytest.fail("the loops were used"))
    plain = network(dtype=torch.float32)
    fast = with_loops(plain)
    images = torch.randn(2, 3, 8, 8)
    if reason == "no compiler":
        monkeypatch.setattr(batch_norm, "usable", lambda x: False)
    if reason == "frozen statistics":
        for model in (plain, fast):
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=reason == "autocast")
    with mixed, torch.set_grad_enabled(reason != "no gradient"):
        assert torch.equal(fast(images), plain(images))


@pytest.mark.parametrize("made", ["pointwise", "separable"])
def test_a_wrong_number_of_channels_is_torchs_error(made):
    block = relu_conv_bn(8, 4, affine=False) if made == "pointwise" else network().cells[0].operations[0]
    block = (PointwiseConv if made == "pointwise" else SeparableConvs)(*block)
    dtype = next(block.parameters()).dtype
    with pytest.raises(RuntimeError, match="channels"):
        block(torch.randn(2, 7, 6, 6, dtype=dtype))


def test_a_single_value_per_channel_is_an_error_as_in_torch():
    fast = with_loops(network())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fast(torch.randn(1, 3, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (1, 4)])
def test_the_gradient_of_a_reduction_is_torchs_in_channels_last_layout(size):
    torch.manual_seed(0)
    plain = FactorizedReduce(4, 6).to(memory_format=torch.channels_last)
    images = torch.randn(8, 4, *size).contiguous(memory_format=torch.channels_last)
    grads = []
    for model in (plain, ChannelsLastReduce(plain)):
        x = images.clone().requires_grad_()
        model(x).square().sum().backward()
        grads.append(x.grad)
    assert torch.equal(*grads)
    assert grads[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("channels", [(4, 12), (20, 16), (48, 8), (7, 33)])
def test_a_pointwise_block_equals_its_layers(channels, affine):
    """Its output, running statistics and all gradients; some channels of a wider map are its input."""
    torch.manual_seed(0)
    plain = relu_conv_bn(*channels, affine=affine).double()
    fast = PointwiseConv(*copy.deepcopy(plain))
    wide = torch.randn(3, channels[0] + 5, 5, 9, dtype=torch.float64).to(memory_format=torch.channels_last)
    results = []
    for block in (plain, fast):
        x = wide.clone(memory_format=torch.preserve_format).requires_grad_()
        out = block(x[:, 2 : 2 + channels[0]])
        grads = torch.autograd.grad((out**3).sum(), [x, *block.parameters()])
        results.append([out.detach(), *grads, *block.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_pointwise_block_computes_only_the_gradients_that_are_wanted():
    torch.manual_seed(0)
    block = PointwiseConv(*relu_conv_bn(4, 8, affine=False).double())
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    (by_weight,) = torch.autograd.grad(block(x).pow(3).sum(), [block[1].weight])
    block[1].weight.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    (by_input,) = torch.autograd.grad(block(leaf).pow(3).sum(), [leaf])
    plain = torch.nn.Sequential(*block)
    plain[1].weight.requires_grad_(True)
    expected = torch.autograd.grad(plain(leaf).pow(3).sum(), [plain[1].weight, leaf])
    for one, other in zip((by_weight, by_input), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
