"""NAO: sequences that mean the same cells, a controller that learns them, and a pool that improves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

import strategies
from search_spaces import OPERATIONS as CELL_OPERATIONS
from search_spaces import DartsSpace, Genotype, registry
from search_spaces.coding import Choice, Coding, Inputs, Selection
from search_spaces.errors import UserError
from search_spaces.genotype import KINDS
from strategies.interfaces import SearchContext
from strategies.nao.model import summary
from strategies.nao.options import NaoOptions
from strategies.nao.tokens import Tokens
from strategies.nao.training import CellOptimizer

OPERATIONS = ("skip", "conv", "pool")
CELL = Coding(
    (
        Inputs(("cell/input_2_0", "cell/input_2_1"), 2),
        Inputs(("cell/input_3_0", "cell/input_3_1"), 3),
        Inputs(("cell/input_4_0", "cell/input_4_1"), 4),
        *(Choice(f"cell/op_{node}_{slot}", OPERATIONS) for node in (2, 3, 4) for slot in (0, 1)),
    )
)
EDGES = Coding(tuple(Choice(f"op_{edge}", OPERATIONS) for edge in range(6)))
MIXED = Coding((*CELL.genes, Choice("stem", ("conv", "none")), Selection("heads", [(0, 1), (0, 2), (1, 2)])))
DARTS = Coding.of(DartsSpace(2, 3, 3).simplify())


@pytest.mark.parametrize(
    ("coding", "length", "vocabulary", "per_step", "cells"),
    [
        (DARTS, 32, 1 + 5 + 7, 2, 2),
        (CELL, 12, 1 + 4 + 3, 2, 1),
        (EDGES, 6, 1 + 3, 1, 0),
        (MIXED, 14, 1 + 4 + 3 + 2 + 3, 1, 1),
    ],
    ids=["darts", "cell", "edges", "mixed"],
)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_sequences_are_the_codes_in_either_order_of_the_edges(
    coding, length, vocabulary, per_step, cells, seed
):
    rng, tokens = np.random.default_rng(seed), Tokens(coding)
    assert (tokens.length, tokens.vocabulary, tokens.per_step) == (length, vocabulary, per_step)
    code = coding.random(rng)
    sequence = tokens.encode(code)
    swapped = tokens.swapped(sequence, rng)
    assert tokens.decode(sequence) == tokens.decode(swapped) == code
    assert all(
        position.first <= token < position.first + position.count
        for token, position in zip(swapped, tokens.positions, strict=True)
    )
    moved = sum(a != b for a, b in zip(sequence, swapped, strict=True))
    assert 2 * cells <= moved <= 4 * cells


def test_a_sequence_is_input_and_operation_edge_by_edge():
    code = DARTS.random(np.random.default_rng(3))
    cell = Genotype.from_sample(DARTS.sample(code))
    edges = [edge for kind in KINDS for pair in cell.nodes(kind) for edge in pair]
    expected = [token for name, state in edges for token in (1 + state, 6 + CELL_OPERATIONS.index(name))]
    assert Tokens(DARTS).encode(code) == expected


@pytest.mark.parametrize(("name", "length", "vocabulary"), [("darts-s1", 32, 8), ("nas_bench_201", 6, 6)])
def test_every_space_has_sequences(name, length, vocabulary):
    coding, rng = Coding.of(registry.parse(name).model_space(4, 5, 10).simplify()), np.random.default_rng(0)
    tokens = Tokens(coding)
    assert (tokens.length, tokens.vocabulary) == (length, vocabulary)
    for code in (coding.random(rng) for _ in range(20)):
        assert tokens.decode(tokens.swapped(tokens.encode(code), rng)) == code


def optimizer(coding=CELL, seed=0, **options):
    return CellOptimizer(NaoOptions(hidden=32, predictor_hidden=32, **options), Tokens(coding), seed)


def codes(count, coding=CELL, seed=0):
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(coding.random(rng) for _ in range(count)))


def convolutions(code):
    """A made-up accuracy: of convolutions, above all on late inputs."""
    sample = CELL.sample(code)
    return sum(
        (sample[f"cell/op_{node}_{slot}"] == "conv") * (1 + sample[f"cell/input_{node}_{slot}"][0])
        for node in (2, 3, 4)
        for slot in (0, 1)
    )


@pytest.fixture(scope="module")
def trained():
    found = optimizer(controller_epochs=200, controller_lr=5e-3, predictor_dropout=0.0)
    found.fit(codes(60), [convolutions(code) for code in codes(60)], np.random.default_rng(1))
    return found


def test_the_decoder_writes_what_the_encoder_has_read(trained):
    sequences = torch.tensor([trained.tokens.encode(code) for code in codes(60)])
    points, _ = trained.controller.encoder(sequences)
    written = trained.controller.decoder.write(points, trained.tokens.positions)
    assert (written == sequences).double().mean() > 0.9


def test_the_predictor_orders_cells_that_it_has_not_seen(trained):
    fresh = [code for code in codes(200, seed=5) if code not in codes(60)]
    _, predicted = trained.controller.encoder(torch.tensor([trained.tokens.encode(code) for code in fresh]))
    assert kendalltau(predicted.detach(), [convolutions(code) for code in fresh]).statistic > 0.6


def test_steps_along_the_gradient_find_better_cells_that_are_new(trained):
    known = codes(60)
    best = sorted(known, key=convolutions)[-20:]
    new = trained.improve(best, 10, known, fits=lambda code: code[0] == 0)
    assert 0 < len(new) <= 10 and not set(new) & set(known) and len(set(new)) == len(new)
    assert np.mean([convolutions(code) for code in new]) > np.mean([convolutions(code) for code in best])
    assert trained.improve(best, 10, known, fits=lambda code: False) == []


def test_tokens_are_written_one_by_one_as_they_are_learned_all_at_once(trained):
    """Greedy writing feeds back each token; the log-probabilities of the same sequence must agree."""
    decoder, positions = trained.controller.decoder, trained.tokens.positions
    points = torch.nn.functional.normalize(
        torch.randn(5, 6, 32, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    written = decoder.write(points, positions)
    previous = torch.nn.functional.pad(written[:, :-1], (1, 0))
    log_probs, _ = decoder(previous, points)
    start = summary(points)[None]
    memory = (start, start)
    for place, position in enumerate(positions):
        state, memory = decoder.lstm(decoder.embedding(previous[:, place : place + 1]), memory)
        for row in range(5):
            scores = torch.stack([decoder.query(state[row, 0]) @ point for point in points[row]])
            mixed = (scores.softmax(0)[:, None] * points[row]).sum(0)
            combined = torch.tanh(decoder.combine(torch.cat([mixed, state[row, 0]])))
            expected = decoder.token(combined).log_softmax(0)
            torch.testing.assert_close(log_probs[row, place], expected, rtol=1e-4, atol=1e-5)
            allowed = range(position.first, position.first + position.count)
            taken = {int(written[row, position.other])} if position.other is not None else set()
            assert int(written[row, place]) == max(set(allowed) - taken, key=lambda token: expected[token])


@pytest.mark.parametrize("coding", [CELL, EDGES, MIXED, DARTS], ids=["cell", "edges", "mixed", "darts"])
def test_whatever_is_written_is_an_architecture(coding):
    untrained = optimizer(coding)
    steps = untrained.tokens.length // untrained.tokens.per_step
    points = torch.randn(50, steps, 32, generator=torch.Generator().manual_seed(1))
    for sequence in untrained.controller.decoder.write(points, untrained.tokens.positions).tolist():
        code = untrained.tokens.decode(sequence)
        assert all(0 <= value < size for value, size in zip(code, coding.sizes, strict=True))


def test_the_seed_alone_decides():
    def weights(seed):
        found = optimizer(seed=seed, controller_epochs=2)
        torch.manual_seed(torch.seed())  # of anything else in the process
        found.fit(codes(8), range(8), np.random.default_rng(seed))
        return torch.cat([weight.flatten() for weight in found.controller.parameters()])

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_equal_scores_are_no_error():
    found = optimizer(controller_epochs=1)
    assert np.isfinite(found.fit(codes(4), [3.0] * 4, np.random.default_rng(0)))


def test_a_round_replaces_the_worst_of_the_pool(supernet):
    journal = []
    text = "nao:every=1,pool=6,new=2,top=2,batches=1,finalists=2,hidden=8,controller_epochs=2"
    supernet(text, SearchContext(seed=1, journal=journal), epochs=2)
    pools = [[entry for entry in journal if entry["stage"] == stage] for stage in ("pool-1", "pool-2")]
    kept = [entry["genotype"] for entry in sorted(pools[0], key=lambda entry: -entry["top1"])[:4]]
    assert [entry["genotype"] for entry in pools[1][:4]] == kept
    assert all(entry["genotype"] not in [known["genotype"] for known in pools[0]] for entry in pools[1][4:])
    best = sorted(pools[1], key=lambda entry: -entry["top1"])[:2]
    assert [e["genotype"] for e in journal if e["stage"] == "final"] == [e["genotype"] for e in best]


def test_candidates_of_a_round_are_new_and_better(multi_trial):
    text = "nao:evaluate=scratch,pool=40,new=10,rounds=2,top=10,hidden=16,controller_epochs=40"
    history = multi_trial(text, SearchContext(seed=1)).history
    assert len(history) == 60 == len({evaluation.code for evaluation in history})
    first, last = (np.mean([each.score for each in part]) for part in (history[:40], history[50:]))
    assert last > first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nao:rounds=3", "rounds is not supported with evaluate=supernet"),
        ("nao:evaluate=scratch,finalists=3", "finalists is not supported with evaluate=scratch"),
        ("nao:pool=10,new=10", "would replace the whole pool of 10"),
        ("nao:hidden=7", "hidden.*multiple of 2"),
        ("nao:predictor_weight=1.5", "predictor_weight.*less than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        strategies.parse(text)


def test_a_search_without_a_round_is_refused(supernet):
    with pytest.raises(UserError, match="more than every=30 epochs"):
        strategies.parse("nao").options.check_search(30, 16, 8)
    with pytest.raises(UserError, match="nao needs more than every=2 epochs"):
        supernet("nao:every=2,pool=4,new=2", SearchContext(), epochs=2)
