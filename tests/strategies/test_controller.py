"""ENAS's controller: it samples cells of the space only, with the right probabilities, and learns."""

import copy
import itertools

import numpy as np
import pytest
import torch

from search_spaces import OPERATIONS
from strategies.builtin import EnasOptions
from strategies.controller import Controller, Reinforce


def test_log_probabilities_are_those_of_its_draws():
    """Weighing each draw by 1 / (cells * probability) must give 1 in the mean: the whole space is sampled."""
    controller = Controller(EnasOptions(hidden=16))
    controller.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        sampled = controller(4000, torch.Generator().manual_seed(1))
    pairs = [node * (node - 1) for node in (2, 3, 4, 5)]  # in order of drawing
    cells = 2 * sum(np.log(pair) + 2 * np.log(len(OPERATIONS)) for pair in pairs)
    weights = np.exp(-cells - sampled.log_prob.numpy().astype(float))
    assert weights.mean() == pytest.approx(1, abs=4 * weights.std() / 4000**0.5)
    assert -sampled.log_prob.mean().item() == pytest.approx(sampled.entropy.mean().item(), rel=0.02)


def test_two_equal_states_are_never_read():
    controller = Controller(EnasOptions(hidden=8))
    controller.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(50)  # as sure as the tanh lets it be
        genotypes = controller(
            300, torch.Generator().manual_seed(2)
        ).genotypes  # a Genotype refuses such a node
    states = [{state for _, state in cell.normal[6:8]} for cell in genotypes]
    assert {frozenset(pair) for pair in itertools.combinations(range(5), 2)} >= set(map(frozenset, states))
    assert all(len(pair) == 2 for pair in states)


@pytest.mark.parametrize(
    "seed", [0, pytest.param(2, marks=pytest.mark.slow)]
)  # from 1 the controller finds the operation, not the input
def test_the_controller_learns_what_is_rewarded(seed):
    def pays(cell):
        return cell.normal[0][0] == "sep_conv_5x5", any(state == 3 for _, state in cell.normal[4:6])

    def shares():
        with torch.no_grad():
            drawn = reinforce.controller(500, torch.Generator().manual_seed(9)).genotypes
        return np.mean([pays(cell) for cell in drawn], axis=0)

    reinforce = Reinforce(EnasOptions(), seed)
    before = shares()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(150):
        reinforce.step(lambda cells: [sum(pays(cell)) / 2 for cell in cells], generator)
    assert (shares() > before * 1.3).all()


def test_the_controller_resumes_from_its_state():
    def rewards(cells):
        return [cell.parameter_free_share for cell in cells]

    options = EnasOptions(hidden=8)
    one, generator = Reinforce(options, 0), torch.Generator()
    for step in range(6):
        if step == 3:
            other = Reinforce(options, 1)
            other.load_state_dict(copy.deepcopy(one.state_dict()))
        one.step(rewards, generator.manual_seed(step))
    for step in range(3, 6):
        other.step(rewards, generator.manual_seed(step))
    assert one.baseline == other.baseline
    for ours, theirs in zip(one.controller.parameters(), other.controller.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
