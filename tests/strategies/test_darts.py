"""Steps of DARTS: second order against automatic differentiation, the fast cell against the plain one."""

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import strategies
from search_spaces import DartsSpace
from search_spaces.errors import UserError
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from search_spaces.registry import default
from strategies.darts import gradients
from strategies.darts.options import DartsOptions
from strategies.darts.search import Darts
from strategies.distributed import DistributedContext
from strategies.interfaces import SearchContext
from strategies.supernet import Schedule, SupernetEvaluator


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class SmoothCell(nn.Module):
    """Curved in weights and mixture, without a kink."""

    def __init__(self, kind):
        super().__init__()
        self.geometry = SimpleNamespace(kind=kind)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x):
        mixture = self.weights.reshape(4, -1).mean(dim=1)
        return sum(weight * torch.tanh(layer(x)) for weight, layer in zip(mixture, self.layers, strict=True))


class SmoothNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([SmoothCell("normal"), SmoothCell("reduce")])
        self.classifier = nn.Linear(6, 3)

    def forward(self, x):
        for cell in self.cells:
            x = x + cell(x)
        return self.classifier(x)


@pytest.mark.usefixtures("double")
def test_second_order_against_differentiation_through_the_step():
    """Central differences are not exact: 2e-4 relative, where the second-order term is far above that."""
    torch.manual_seed(0)
    network = SmoothNetwork()

    class OnSmoothNetwork(Darts):
        space = default()
        supernet = network
        evaluator = SimpleNamespace(processes=DistributedContext())

    strategy = OnSmoothNetwork(DartsOptions(order=2))
    rate, momentum, decay = 0.5, 0.9, 0.03
    strategy.optimizer = torch.optim.SGD(network.parameters(), rate, momentum, weight_decay=decay)
    batches = [(torch.randn(16, 6), torch.randint(3, (16,))) for _ in range(3)]
    mixture = {kind: torch.rand(14, 8).requires_grad_() for kind in ("normal", "reduce")}
    strategy.set_mixture(mixture)
    cross_entropy(network(batches[2][0]), batches[2][1]).backward()
    strategy.optimizer.step()  # from here on there is a momentum
    before = [weight.detach().clone() for weight in network.parameters()]

    ours = gradients.second_order(strategy, batches[0], batches[1], mixture)

    assert all(torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))
    names = [name for name, _ in network.named_parameters()]
    weights = dict(zip(names, [weight.requires_grad_() for weight in before], strict=True))

    def loss(weights, batch):
        return cross_entropy(torch.func.functional_call(network, weights, (batch[0],)), batch[1])

    train_grads = torch.autograd.grad(loss(weights, batches[0]), list(weights.values()), create_graph=True)
    buffers = [strategy.optimizer.state[weight]["momentum_buffer"] for weight in network.parameters()]
    ahead = {
        name: weight - rate * (momentum * buffer + grad + decay * weight)
        for (name, weight), grad, buffer in zip(weights.items(), train_grads, buffers, strict=True)
    }
    tables = list(mixture.values())
    exact = torch.autograd.grad(loss(ahead, batches[1]), tables, retain_graph=True)
    held = {name: weight.detach() for name, weight in ahead.items()}
    first_order_part = torch.autograd.grad(loss(held, batches[1]), tables)
    for one, other, direct in zip(ours, exact, first_order_part, strict=True):
        assert (one - other).norm() < 2e-4 * other.norm()
        assert (direct - other).norm() > 1e-2 * other.norm()


class Images:
    """Batches of images in memory, the same in every epoch."""

    def __init__(self, images, labels, batch_size=8):
        self.images, self.labels, self.batch_size = images, labels, batch_size

    @property
    def samples(self):
        return len(self.labels)

    def set_epoch(self, epoch):
        pass

    def __len__(self):
        return -(-self.samples // self.batch_size)

    def __iter__(self):
        return iter(zip(self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True))


class Silent:
    def expect(self, total): ...
    def log(self, split, step, epoch, **values): ...
    def record(self, epoch, genotype, mixture, top1): ...
    def advance(self, epoch, done, total): ...


def search(images, labels, epochs=1, width=4, layers=3, **options):
    """A whole search from one seed; the first half trains weights, the second alphas."""
    torch.manual_seed(0)
    half = len(labels) // 2
    weights, alphas = Images(images[:half], labels[:half]), Images(images[half:], labels[half:])
    strategy = strategies.create("darts", alpha_lr=3e-2, **options)
    evaluator = SupernetEvaluator(
        weights, alphas, alphas, Schedule(epochs=epochs), Silent(), context=SearchContext()
    )
    space = RawFormatModelSpace(DartsSpace(width, layers, 10), evaluator)
    strategy(space, SequentialExecutionEngine())
    return strategy


def assert_same_search(one, other):
    assert one.result.genotype == other.result.genotype
    assert one.result.score == other.result.score
    for kind, table in one.alphas.items():
        assert (table - other.alphas[kind]).abs().max() < 1e-9
    ours, theirs = one.supernet.state_dict(), other.supernet.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value.double(), theirs[name].double(), rtol=1e-6, atol=1e-9), name


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("recompute", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("order", [1, 2])
def test_a_search_is_the_same_with_both_cells(order, recompute):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(32) % 10
    images = torch.randn(32, 3, 8, 8, generator=generator) + labels[:, None, None, None] / 5
    plain = search(images, labels, order=order, cell="plain")
    fast = search(images, labels, order=order, cell="fast", recompute=recompute)
    assert_same_search(fast, plain)
    assert plain.result.training_images == fast.result.training_images == (32 if order == 1 else 32 + 3 * 16)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_a_search_on_cifar10_finds_the_same_genotype_with_both_cells():
    if "NASTRANSFER_DATA" not in os.environ:
        pytest.skip("NASTRANSFER_DATA is not set: no CIFAR-10 here")
    from nastransfer_nni.data import loading, sources
    from nastransfer_nni.data.memory import InMemoryImages

    few = InMemoryImages.of(loading.load(sources.check("cifar10"), "train").select(range(64)))
    images, labels = few.images.double() / 255, few.labels
    assert_same_search(*(search(images, labels, width=2, cell=cell) for cell in ("fast", "plain")))


def test_recompute_needs_the_fast_cell():
    with pytest.raises(UserError, match="recompute is not supported with cell=plain"):
        strategies.check("darts", {"cell": "plain", "recompute": True})
    assert DartsOptions().cell == "fast"
