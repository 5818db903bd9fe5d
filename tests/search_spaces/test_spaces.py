"""Every registered space: its cells in every form, its genes, derivation, networks and grammar."""

import pickle

import numpy as np
import pytest
import torch

from search_spaces import SPACES, Genotype, parse, registry
from search_spaces.coding import Coding
from search_spaces.errors import UserError
from search_spaces.robust_darts import S1_PAIRS
from search_spaces.sizes import mult_adds

CASES = [
    *SPACES,
    "darts:nodes=1",
    "darts:nodes=3",
    "darts:operations=none+max_pool_3x3+dil_conv_5x5,nodes=2",
    "darts:operations=skip_connect",
]
LAYERS = 5
"""A number of cells that every space has: also three stages of one cell with two blocks between them."""


@pytest.fixture(params=CASES)
def space(request):
    return parse(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_space_is_named_by_its_text(space):
    assert parse(space.text) == space


def test_a_space_equals_its_copy_in_another_process(space):
    copy = pickle.loads(pickle.dumps(space))
    for one in (space, copy):
        assert one.offered  # computes the masks that a space keeps
    assert copy == space and len({copy, space}) == 1


def test_a_cell_reads_back_from_every_form_and_its_network_runs(space, rng):
    model = space.model_space(4, LAYERS, 3)
    for _ in range(3):
        cell = space.random(rng)
        assert (
            space.from_sample(cell.to_sample())
            == space.from_dict(cell.to_dict())
            == space.from_text(f"found {cell} today")
            == registry.genotype_of_dict(cell.to_dict())
            == registry.genotype_of_sample(cell.to_sample())
            == registry.genotype_of_text(str(cell))
            == cell
        )
        assert registry.space_of(cell).contains(cell)
        network = model.freeze(cell.to_sample()).eval()
        assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
        assert space.costs(4, LAYERS, 3, "cifar", 16)(cell) == mult_adds(network, 16)


def test_genes_are_those_of_the_space(space, rng):
    model = space.model_space(2, LAYERS, 3)
    coding = Coding.of(model.simplify())
    for _ in range(30):
        code = coding.random(rng)
        for sample in (coding.sample(code), coding.sample(coding.mutated(code, rng))):
            model.validate(sample)
            assert space.contains(space.genotype_class.from_sample(sample))


def test_nni_draws_cells_of_the_space(space):
    model = space.model_space(2, LAYERS, 3)
    for seed in range(5):
        sample = {}
        model.random(sample, np.random.RandomState(seed))
        labels = space.random(np.random.default_rng(0)).to_sample()
        space.from_sample({label: sample[label] for label in labels})


def slow_derivation(space, mixture):
    """Node by node: among the allowed operations of every edge the best, and the best of these edges."""
    found = {}
    for kind in space.kinds:
        found[kind], row = [], 0
        for edges, kept in space.node_inputs:
            best = []
            for state in range(edges):
                allowed = [
                    (mixture[kind][row][column], state, name)
                    for column, name in enumerate(space.candidates)
                    if space.derivable[kind][row][column]
                ]
                best.append(max(allowed))
                row += 1
            strongest = sorted(best, reverse=True)[:kept]
            found[kind] += sorted((state, name) for _, state, name in strongest)
    return found


def test_a_mixture_is_derived_as_the_paper_says(space, rng):
    mixture = {kind: rng.random((space.edges, len(space.candidates))) for kind in space.kinds}
    cell = space.derive(mixture)
    assert space.contains(cell)
    expected = slow_derivation(space, mixture)
    assert {kind: [(state, name) for name, state in cell.edges(kind)] for kind in space.kinds} == expected


def test_the_reduced_spaces_have_the_published_candidates():
    offered = {
        name: {tuple(sorted(np.array(parse(name).candidates)[row])) for row in parse(name).offered["normal"]}
        for name in ("darts-s2", "darts-s3", "darts-s4")
    }
    assert offered == {
        "darts-s2": {("sep_conv_3x3", "skip_connect")},
        "darts-s3": {("none", "sep_conv_3x3", "skip_connect")},
        "darts-s4": {("noise", "sep_conv_3x3")},
    }
    s1 = parse("darts-s1")
    for kind, pairs in S1_PAIRS.items():
        found = [set(np.array(s1.candidates)[row]) for row in s1.offered[kind]]
        assert found == [set(pair) for pair in pairs]
    assert S1_PAIRS["normal"][12:] == (("dil_conv_3x3", "dil_conv_5x5"),) * 2
    assert sum("max_pool_3x3" in pair for pair in S1_PAIRS["reduce"]) == 8


def test_a_cell_of_another_space_is_refused(rng):
    cell = parse("darts-s2").random(rng)
    assert parse("darts").check(cell) == cell
    for other in ("darts-s4", "darts:nodes=3", "nas_bench_201"):
        with pytest.raises(UserError, match="not one of the space"):
            parse(other).check(cell)


def test_noise_is_noise_and_reads_nothing():
    space = parse("darts:operations=noise+max_pool_3x3,nodes=1")
    cell = Genotype([("noise", 0), ("noise", 1)], [("noise", 0), ("noise", 1)])
    network = space.build(cell, is_plain=True, width=2, layers=3, num_classes=3)
    torch.manual_seed(0)
    one = network(torch.zeros(2, 3, 8, 8))
    torch.manual_seed(0)
    assert torch.equal(one, network(torch.ones(2, 3, 8, 8)))
    assert not torch.equal(one, network(torch.ones(2, 3, 8, 8)))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dart", r"unknown space 'dart' \(did you mean 'darts'\?\)"),
        ("darts:node=3", r"unknown darts option 'node' \(did you mean 'nodes'\?\)"),
        ("darts:nodes=0", "darts:nodes: Input should be greater than or equal to 1"),
        ("darts:nodes=many", "darts:nodes: Input should be a valid integer"),
        ("darts:nodes", "options must be option=value pairs"),
        ("darts:nodes=2,nodes=3", "nodes is given twice"),
        ("darts:operations=skip_conect", r"unknown operation .*\(did you mean 'skip_connect'\?\)"),
        ("darts:operations=none", "needs an operation other than none"),
        ("darts:operations=noise+noise", "noise is listed twice"),
        ("darts:operations=skip_connect,nodes=1", "nothing to search"),
        ("darts-s1:nodes=3", "the number of nodes"),
    ],
)
def test_bad_spaces_are_refused_in_one_line(text, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
