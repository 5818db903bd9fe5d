"""The step of the shared weights on a CPU: torch's SGD bit for bit, and nothing of it in a checkpoint."""

import copy

import pytest
import torch
from torch import nn

import strategies
from strategies.supernet import Schedule, SupernetEvaluator

SHAPES = [(10,), (24,), (16,), (48, 16, 1, 1), (16, 1, 3, 3), (16, 3, 3, 3), (8, 4, 3, 3), (8, 4, 3, 3)]


@pytest.fixture
def fused(monkeypatch):
    """Numbers of weights that the fused kernel was called with."""
    counts, kernel = [], torch._fused_sgd_

    def counted(weights, *args, **kwargs):
        counts.append(len(weights))
        kernel(weights, *args, **kwargs)

    monkeypatch.setattr(torch, "_fused_sgd_", counted)
    return counts


def weights_of(dtype, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator, dtype=dtype).to(device) for shape in SHAPES]
    weights[5] = weights[5].to(memory_format=torch.channels_last)
    return [nn.Parameter(weight) for weight in weights]


def grads_of(weights, step):
    """Gradients, clipped in some steps; that of weight 2 is often missing, others are channels-last."""
    generator = torch.Generator().manual_seed(step + 1)
    scale = 10.0 ** -(step % 3)
    grads = [torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device) * scale for w in weights]
    grads[2] = grads[2] if step % 3 == 1 else None
    for index in [6] if step % 2 else [7] if step == 0 else []:
        grads[index] = grads[index].to(memory_format=torch.channels_last)
    return grads


def sgd(weights, nesterov=False):
    return torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4, nesterov=nesterov)


def step_ours(optimizer, grads):
    strategy = strategies.create("random_ws")
    strategy.evaluator = SupernetEvaluator([], [], schedule=Schedule(clip_grad=5.0))
    strategy.optimizer = optimizer
    strategy.step_weights(grads)


def step_plainly(optimizer, grads):
    weights = optimizer.param_groups[0]["params"]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = grad
    nn.utils.clip_grad_norm_(weights, 5.0)
    optimizer.step()


def steps(step, optimizer, numbers):
    for number in numbers:
        optimizer.param_groups[0]["lr"] = 0.025 / (number + 1)
        step(optimizer, grads_of(optimizer.param_groups[0]["params"], number))


def assert_same_bits(one, other):
    for ours, theirs in zip(
        *(optimizer.param_groups[0]["params"] for optimizer in (one, other)), strict=True
    ):
        buffers = one.state[ours]["momentum_buffer"], other.state[theirs]["momentum_buffer"]
        for a, b in ((ours.detach(), theirs.detach()), buffers):
            as_bits = torch.int32 if a.dtype == torch.float32 else torch.int64
            assert torch.equal(a.view(as_bits), b.view(as_bits)), tuple(a.shape)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_has_the_bits_of_the_plain_one(dtype, nesterov, fused):
    ours, plain = (sgd(weights_of(dtype), nesterov) for _ in range(2))
    steps(step_ours, ours, range(8))
    assert fused == [2, 3, 2, 4, 2, 3, 3]  # weights 3 and 4; 6 in every second step; 2 from its second on
    steps(step_plainly, plain, range(8))
    assert_same_bits(ours, plain)


@pytest.mark.parametrize("absent", [[], ["fused"]], ids=["fused=None", "before torch had it"])
def test_a_state_of_the_plain_step_resumes_and_says_the_same(absent, fused):
    plain, ours = (sgd(weights_of(torch.float32)) for _ in range(2))
    steps(step_plainly, plain, range(3))
    with torch.no_grad():
        for weight, trained in zip(
            ours.param_groups[0]["params"], plain.param_groups[0]["params"], strict=True
        ):
            weight.copy_(trained)
    saved = copy.deepcopy(plain.state_dict())
    saved["param_groups"] = [
        {key: group[key] for key in group if key not in absent} for group in saved["param_groups"]
    ]
    ours.load_state_dict(saved)
    steps(step_ours, ours, range(3, 6))
    assert fused
    steps(step_plainly, plain, range(3, 6))
    assert_same_bits(ours, plain)
    before, after = (optimizer.state_dict()["param_groups"][0] for optimizer in (plain, ours))
    assert after == (before | {"fused": False} if absent else before)


def test_other_devices_step_as_torch_does(fused):
    optimizer = sgd(weights_of(torch.float32, "meta"))
    steps(step_ours, optimizer, range(3))
    assert not fused


def test_a_step_that_fails_leaves_the_optimizer_whole(monkeypatch):
    optimizer = sgd(weights_of(torch.float32))
    steps(step_ours, optimizer, range(1))
    before = optimizer.state_dict()["param_groups"]
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *_args, **_kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        step_ours(optimizer, grads_of(optimizer.param_groups[0]["params"], 1))
    assert optimizer.state_dict()["param_groups"] == before
