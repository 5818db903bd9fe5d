"""Steps as CUDA graphs, with a stand-in for CUDA that records, replays, and keeps results in one place."""

import pytest
import torch

import strategies
from search_spaces import registry
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.compute import Compute
from strategies.distributed import DistributedContext
from strategies.graphs import WARM_UP_STEPS, Graphs
from strategies.result import SearchResult
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.conftest import Batches, Records

SPACE = "darts:nodes=1"
"""Small, as graphs do not depend on what a cell computes."""


@pytest.fixture(autouse=True)
def informed(caplog):
    caplog.set_level("INFO", "strategies.graphs")


class StandIn:
    """Records a function as CUDA does: its results get their memory, and what it changes stays as it is.

    `changed` returns the tensors that the function changes, `result` counts its images in Python.
    """

    def __init__(self, changed=list, result=None):
        self.changed, self.result, self.calls = changed, result or SearchResult(), []

    def warm_up(self, run):
        self.calls.append("warm-up")
        return run()

    def record(self, run):
        before = [tensor.detach().clone() for tensor in self.changed()]
        results = run()
        with torch.no_grad():
            for tensor, value in zip(self.changed(), before, strict=True):
                tensor.copy_(value)
        self.calls.append("record")

        def replay():
            self.calls.append("replay")
            counts = self.result.training_images
            again = run()
            self.result.training_images = counts  # a graph runs no Python
            with torch.no_grad():
                for own, new in zip(results, again, strict=True):
                    own.copy_(new)
            return results

        return replay


class Failing(StandIn):
    def record(self, run):
        super().record(run)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def search(text="darts:alpha_lr=3e-2", recorder=None, images=40, epochs=2, processes=None):
    """A tiny search; `recorder` is made for every epoch from the strategy."""
    torch.manual_seed(0)
    strategy, records = strategies.parse(text).create(), Records()
    made = []

    def make():
        made.append(recorder(lambda: changed(strategy), strategy.result))
        return made[-1]

    evaluator = SupernetEvaluator(
        Batches(images, 0),
        Batches(images, 1),
        schedule=Schedule(epochs=epochs),
        recorder=records,
        processes=processes,
        compute=Compute(graphs=Graphs(make) if recorder else None),
    )
    space = registry.parse(SPACE).model_space(2, 3, 3)
    strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    return strategy, records.lines, [call for one in made for call in one.calls]


def changed(strategy):
    buffers = [state["momentum_buffer"] for state in strategy.optimizer.state.values()]
    return [*strategy.supernet.parameters(), *strategy.supernet.buffers(), *buffers]


def reasons(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "strategies.graphs"]


@pytest.mark.parametrize("order", [1, 2])
def test_a_search_is_the_same_with_graphs(order):
    text = f"darts:alpha_lr=3e-2,order={order}"
    eager, lines, _ = search(text)
    graphs, other, calls = search(text, StandIn)
    assert lines == other
    assert eager.result.training_images == graphs.result.training_images
    for name, value in eager.supernet.state_dict().items():
        assert torch.equal(value, graphs.supernet.state_dict()[name]), name
    for kind, table in eager.alphas.items():
        assert torch.equal(table, graphs.alphas[kind])
    steps = 5  # of each kind, in each of two epochs
    assert calls.count("warm-up") == 2 * 2 * WARM_UP_STEPS
    assert calls.count("record") == 2 * 2
    assert calls.count("replay") == 2 * 2 * (steps - WARM_UP_STEPS)


def test_an_odd_last_batch_runs_without(caplog):
    _, lines, _ = search(images=44)
    _, other, calls = search(images=44, recorder=StandIn)
    assert lines == other
    assert calls.count("replay") == 2 * 2 * (5 - WARM_UP_STEPS)
    assert reasons(caplog) == [
        f"CUDA graphs: {name} of images (4, 3, 8, 8) runs without that of (8, 3, 8, 8)"
        for name in ("the step of the alphas", "the step of the weights")
    ]


def test_a_step_that_cannot_be_recorded_runs_without(caplog):
    _, lines, _ = search()
    _, other, calls = search(recorder=Failing)
    assert lines == other
    assert calls.count("warm-up") == 2 * WARM_UP_STEPS, "the second epoch does not try again"
    assert [why.partition(": ")[2] for why in reasons(caplog)] == [
        f"{name} runs without one, as it cannot be recorded: operation not permitted when stream is capturing"
        for name in ("the step of the alphas", "the step of the weights")
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gdas", "relaxation=gumbel-hard draws anew"),
        ("drnas:partial_channels=1,operations=8", "relaxation=dirichlet draws anew"),
        ("sdarts-rs", "perturbation=random draws anew"),
        ("oles", "freeze_below compares"),
        ("p-darts:add_layers=0,operations=8,skip_dropout=0.3", "skip_dropout draws anew"),
        ("darts:drop_path=0.2", "drop_path draws anew"),
        ("darts:bilevel=false", "bilevel=false updates"),
        ("darts:recompute=true", "recompute=true keeps"),
        ("darts:operations=8/4", "a step reads which candidates"),
    ],
)
def test_options_that_rule_graphs_out(text, why):
    strategy = strategies.parse(text).create()
    strategy.space = registry.default()
    assert strategy.why_eager().startswith(why)


@pytest.mark.parametrize("text", ["darts:order=2", "fair-darts", "beta-darts", "pc-darts", "darts+"])
def test_options_that_have_graphs(text):
    strategy = strategies.parse(text).create()
    strategy.space = registry.default()
    assert strategy.why_eager() == ""


def test_a_search_says_why_it_has_none(caplog):
    _, _, calls = search("random_ws:candidates=2,finalists=1,batches=1", StandIn, epochs=1)
    assert not calls
    assert reasons(caplog) == ["CUDA graphs: none are used: each step trains other candidates"]


def test_several_processes_have_none(caplog):
    class Twins(DistributedContext):
        def all_reduce_sum(self, values, /):
            return values.mul_(2)

    _, _, calls = search(recorder=StandIn, epochs=1, processes=Twins(world_size=2))
    assert not calls
    assert reasons(caplog) == ["CUDA graphs: none are used: several processes add up their gradients"]
