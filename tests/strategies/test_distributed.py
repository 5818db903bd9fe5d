"""How often the processes of a search wait for each other: once for every gradient."""

from dataclasses import dataclass, field

import pytest

import strategies
from search_spaces import registry
from search_spaces.nni_api import RawFormatModelSpace, SequentialExecutionEngine
from strategies.distributed import DistributedContext
from strategies.supernet import Schedule, SupernetEvaluator
from tests.strategies.conftest import Batches

STEPS, ALPHAS = 2, 2 * 14 * 8


@dataclass(frozen=True)
class Twins(DistributedContext):
    """Two processes that compute the same; remembers the numbers in each sum over them."""

    world_size: int = 2
    sums: list[int] = field(default_factory=list)

    def all_reduce_sum(self, values):
        self.sums.append(values.numel())
        return values.mul_(2)


@pytest.mark.parametrize(("order", "gradients"), [(1, "aw"), (2, "wbaaw")])
def test_a_gradient_is_one_sum_over_the_processes(order, gradients):
    """a: of the alphas; w: of the weights; b: of both. BatchNorm's statistics are summed once an epoch."""
    strategy, twins = strategies.parse(f"darts:order={order}").create(), Twins()
    batches = [Batches(8 * STEPS, seed) for seed in range(3)]
    evaluator = SupernetEvaluator(*batches, Schedule(epochs=1), processes=twins)
    space = registry.parse("darts").model_space(2, 3, 3)
    strategy(RawFormatModelSpace(space, evaluator), SequentialExecutionEngine())
    weights = sum(weight.numel() for weight in strategy.shared_weights)
    sizes = {"a": ALPHAS, "w": weights, "b": ALPHAS + weights}
    *steps, _ = [count for count in twins.sums if count >= ALPHAS]
    assert steps == [sizes[gradient] for gradient in gradients] * STEPS
    assert len(twins.sums) == len(steps) + 4, "statistics, seconds, and the metrics of both splits"
