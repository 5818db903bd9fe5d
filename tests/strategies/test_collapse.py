"""What darts can do against a collapse to skips: resting alphas, a stop, partial channels."""

import pytest
import torch
from torch.nn.functional import max_pool2d

from search_spaces.cells.partial import PartialEdge
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, KINDS
from strategies.darts.search import Darts
from strategies.interfaces import SearchContext


def test_alphas_rest_in_the_first_epochs(supernet):
    found = supernet("darts:frozen_epochs=2", epochs=3)
    assert found.result.training_images == 24 + 24 + 48
    fresh = supernet("darts:frozen_epochs=3", epochs=3).strategy.alphas
    never = supernet("darts:frozen_epochs=1", epochs=1).strategy.alphas
    for kind in KINDS:
        torch.testing.assert_close(fresh[kind], never[kind], rtol=0, atol=0)
        assert not torch.equal(fresh[kind], found.strategy.alphas[kind])


def test_the_budget_knows_of_the_rest(supernet):
    assert supernet("darts:frozen_epochs=2", SearchContext(budget=24 + 24 + 48 + 47)).result.epochs == 3


def genotype_with(strategy, skips):
    with torch.no_grad():
        for kind in KINDS:
            strategy.alphas[kind].zero_()
            strategy.alphas[kind][:, 4] = 1.0
            first = 0
            for node in CONCAT[:skips]:  # one skip a node, on its first edge
                strategy.alphas[kind][first, 3] = 2.0
                first += node


@pytest.mark.parametrize(("course", "epochs"), [((1, 1, 2, 0), 3), ((2, 2, 1, 3), 4), ((0, 1, 1, 1), 4)])
def test_stops_once_there_are_too_many_skips(supernet, monkeypatch, course, epochs):
    train_epoch = Darts.train_epoch

    def scripted(self, epoch):
        figures = train_epoch(self, epoch)
        genotype_with(self, course[epoch])
        return figures

    monkeypatch.setattr(Darts, "train_epoch", scripted)
    found = supernet("darts+:alpha_lr=1e-9", epochs=4)
    assert found.result.epochs == epochs
    assert sum(name == "skip_connect" for name, _ in found.result.genotype.normal) == course[epochs - 1]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_partial_edge_computes_one_channel_in_so_many(stride):
    torch.manual_seed(0)
    edge = PartialEdge(8, stride, 4)
    x, weights = torch.randn(3, 8, 7, 7), torch.rand(8)
    out = edge(x, weights)
    rest = x[:, 2:] if stride == 1 else max_pool2d(x[:, 2:], 2, ceil_mode=True)
    joined = torch.cat([edge.mixed(x[:, :2], weights), weights.sum() * rest], 1)
    for channel in range(8):  # shuffled: group g's channel c comes to c * 4 + g
        group, place = divmod(channel, 2)
        torch.testing.assert_close(out[:, place * 4 + group], joined[:, channel])


def test_edges_share_the_weight_of_their_node(supernet):
    strategy = supernet("darts:partial_channels=2", epochs=1).strategy
    with torch.no_grad():
        for kind in KINDS:
            strategy.alphas[f"{kind}/edges"].normal_()
        mixture = strategy.mixture()
    for kind in KINDS:
        sums = [rows.sum().item() for rows in mixture[kind].split(CONCAT)]
        assert sums == pytest.approx([1, 1, 1, 1])
        expected = torch.cat([e.softmax(0) for e in strategy.alphas[f"{kind}/edges"].split(CONCAT)])
        torch.testing.assert_close(mixture[kind].sum(1), expected)
    candidate = strategy.supernet.cells[0].edges[0].mixed.candidates[3][2]
    assert candidate.weight.shape[:2] == (1, 1)  # width 2, half of it computed


def test_validation_keeps_the_weights_of_edges(supernet):
    strategy = supernet("gdas:edge_weights=true", epochs=1).strategy
    mixture = strategy.mixture()
    for kind, row in strategy.validation_mixture(mixture).items():
        assert ((row > 0).sum(dim=-1) == 1).all()
        torch.testing.assert_close(row.sum(dim=-1), mixture[kind].sum(dim=-1))


def test_edge_weights_are_learned(supernet):
    found = supernet("darts:partial_channels=2")
    for kind in KINDS:
        assert found.strategy.alphas[f"{kind}/edges"].detach().std() > 0
    assert len(found.strategy.alpha_optimizer.param_groups[0]["params"]) == 4


def test_refuses_parts_that_do_not_divide_the_width(supernet):
    with pytest.raises(UserError, match="does not divide"):
        supernet("darts:partial_channels=4")
