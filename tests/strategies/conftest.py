import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

import strategies
from search_spaces import registry
from search_spaces.model_space import CellSpace
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.interfaces import SearchContext
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies import judge as judge_module


class Batches:
    """Noise with a class-dependent brightness, in batches of 8."""

    batch_size = 8

    def __init__(self, count, seed, classes=3):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % classes
        self.images = torch.randn(count, 3, 8, 8, generator=generator) + self.labels[:, None, None, None]
        self.epoch = 0

    @property
    def samples(self):
        return len(self.labels)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return -(-self.samples // self.batch_size)

    def __iter__(self):
        order = torch.randperm(self.samples, generator=torch.Generator().manual_seed(self.epoch))
        for rows in order.split(self.batch_size):
            yield self.images[rows], self.labels[rows]


@dataclass
class Records:
    """A recorder that remembers, and can stop the search after so many calls of one kind."""

    lines: list = field(default_factory=list)
    expected: int = 0
    stop_at: int | None = None
    advances: itertools.count = field(default_factory=itertools.count)

    def expect(self, total):
        self.expected = total

    def log(self, split, step, epoch, **values):
        values.pop("seconds", None)
        values.pop("images_per_second", None)
        self.lines.append((split, step, epoch, values))

    def record(self, epoch, genotype, mixture, top1):
        self.lines.append(("architecture", epoch, str(genotype), top1))

    def advance(self, epoch, done, total):
        if next(self.advances) == self.stop_at:
            raise KeyboardInterrupt


def run_supernet(
    text,
    context=None,
    epochs=2,
    stop_at=None,
    kept=None,
    sizes=(24, 24),
    space="darts",
    layers=3,
    val_interval=1,
):
    """Run a supernet strategy on made data; `kept` carries the state from one process to the next.

    `sizes` are the images of the weight and of the alpha split. The result counts scored images as well.
    """
    strategy = strategies.parse(text).create()
    records = Records(stop_at=stop_at)
    torch.manual_seed(0)
    evaluator = SupernetEvaluator(
        Batches(sizes[0], 0),
        Batches(sizes[1], 1),
        Batches(sizes[1], 1),
        Schedule(epochs=epochs),
        records,
        resume=(kept or {}).get("state"),
        save=lambda state: None if kept is None else kept.update(state=_copied(state)),
        context=context or SearchContext(),
        val_interval=val_interval,
    )
    space, scored = registry.parse(space).model_space(2, layers, 3), []

    def count(module, inputs):
        if isinstance(module, CellSpace) and not torch.is_grad_enabled():
            scored.append(len(inputs[0]))

    counting = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    finally:
        counting.remove()
    return SimpleNamespace(
        result=strategy.result, records=records, strategy=strategy, scored_images=sum(scored)
    )


def _copied(state):
    """What a checkpoint holds: copies, as training changes tensors in place."""
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.fixture
def supernet():
    return run_supernet


@pytest.fixture
def multi_trial():
    """Run a strategy that trains candidates, on a made-up accuracy."""

    def run(text, context=None, **judge):
        return judge_module.run(text, context or SearchContext(), Records(), **judge)

    return run


@pytest.fixture(scope="session")
def costs():
    """Of a small final network."""
    return registry.default().costs(8, 6, 10, "cifar", 16)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def records():
    return Records()
