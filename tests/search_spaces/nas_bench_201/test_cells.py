"""The search-time cells, against sums written out."""

import itertools

import pytest
import torch

from search_spaces.nas_bench_201 import OPERATIONS, NasBench201
from search_spaces.nas_bench_201.genotype import EDGES
from tests.search_spaces.nas_bench_201.cells import CELL, output

SPACE = NasBench201()


def made(kind):
    torch.manual_seed(0)
    (cell, *_) = SPACE.model_space(4, 5, 10).cells
    return getattr(SPACE, kind)(cell).double()


def convolutions(cell, operations):
    """The weights of the convolutions of a cell of one operation an edge."""
    columns = (OPERATIONS.index(name) - 1 for name in operations)
    chosen = [
        edge.candidates[column] if column >= 0 else None
        for edge, column in zip(cell.edges, columns, strict=True)
    ]
    return [op[1].weight if isinstance(op, torch.nn.Sequential) else None for op in chosen]


def test_sampled_cell_computes_the_chosen_cell():
    cell, x = made("sampled_cell"), torch.randn(3, 4, 6, 6, dtype=torch.float64)
    for operations in ([*CELL.operations], ["none"] * 6, ["avg_pool_3x3"] * 6):
        cell.choose(type(CELL)(tuple(operations)))
        for training in (True, False):
            expected = output(x, operations, convolutions(cell, operations))
            torch.testing.assert_close(cell.train(training)(x), expected)


def test_mixed_cell_is_the_weighted_sum_of_its_candidates():
    """With the weights of node 3 alone spread out, the cell is linear in them: a sum over all cells."""
    cell, x = made("mixed_cell"), torch.randn(3, 4, 6, 6, dtype=torch.float64)
    torch.manual_seed(1)
    weights = torch.zeros(6, 5, dtype=torch.float64)
    first = (3, 1, 4)  # one operation for each edge of nodes 1 and 2
    for edge, column in enumerate(first):
        weights[edge, column] = 1
    weights[3:] = torch.rand(3, 5)
    cell.weights = weights
    expected = torch.zeros_like(x)
    for edge, column in itertools.product((3, 4, 5), range(1, 5)):
        names = [OPERATIONS[column] for column in first] + ["none"] * 3
        names[edge] = OPERATIONS[column]
        expected += weights[edge, column] * output(x, names, convolutions(cell, names))
    torch.testing.assert_close(cell(x), expected)


def test_leaving_out_candidates_of_weight_zero_changes_nothing():
    cell, x = made("mixed_cell"), torch.randn(3, 4, 6, 6, dtype=torch.float64)
    cell.weights = torch.rand(6, 5, dtype=torch.float64) * (torch.rand(6, 5) < 0.4)
    everything = cell(x)
    cell.computed = (cell.weights > 0).tolist()
    torch.testing.assert_close(cell(x), everything)


@pytest.mark.parametrize("rate", ["skip_dropout", "drop_path"])
def test_dropout_keeps_the_mean_and_rests_in_evaluation(rate):
    cell, x = made("mixed_cell"), torch.ones(4000, 4, 2, 2, dtype=torch.float64)
    weights = torch.zeros(6, 5, dtype=torch.float64)
    weights[EDGES.index((3, 0)), OPERATIONS.index("skip_connect")] = 1
    cell.weights, cell.generator = weights, torch.Generator().manual_seed(0)
    setattr(cell, rate, 0.25)
    found = cell(x)
    assert set(found.flatten().tolist()) == {0, 1 / 0.75}
    assert float(found.detach().mean()) == pytest.approx(1, abs=0.03)
    assert cell.eval()(x).equal(x)
