"""Local search: it climbs as published, starts again at a local optimum, and tries no cell twice."""

import numpy as np
import pytest

import strategies
from search_spaces import DartsSpace
from search_spaces.coding import Choice, Coding
from search_spaces.errors import UserError
from strategies.builtin import LocalSearchOptions
from strategies.interfaces import SearchContext
from strategies.local_search import HillClimbing
from strategies.proposers import Evaluation

CODING = Coding(tuple(Choice(name, range(3)) for name in "abcd"))
RUGGED = np.random.default_rng(0).permutation(3**4)


def rugged(code):
    return float(RUGGED[np.ravel_multi_index(code, (3,) * 4)])


def search(total, ahead, seed=0, coding=CODING, score=rugged, **options):
    proposer = HillClimbing(
        LocalSearchOptions(**options), ahead, coding, SearchContext(seed=seed), total, dict
    )
    history = []
    for index in range(total):
        code = proposer.propose(index, history[: proposer.needs(index)])
        history.append(Evaluation(code, score(code)))
    return history


def climbs(history, init, whole):
    """Walk through a history by the published loop; returns the places of the cells that climbs ended at."""
    seen, place, ends = set(), 0, []
    while place < len(history):
        start = history[place : place + init]
        seen |= {evaluation.code for evaluation in start}
        place += init
        centre = max(start, key=lambda evaluation: evaluation.score)
        improved = True
        while improved and place < len(history):
            improved, neighbours = False, []
            untried = set(CODING.neighbours(centre.code)) - seen
            for _ in range(len(untried)):
                if place == len(history):
                    return ends
                neighbour = history[place]
                assert neighbour.code in untried - seen
                seen.add(neighbour.code)
                neighbours.append(neighbour)
                place += 1
                if neighbour.score > centre.score and not whole:
                    break
            best = max(neighbours, key=lambda evaluation: evaluation.score, default=centre)
            if best.score > centre.score:
                improved, centre = True, best
        ends.append(centre)
    return ends


@pytest.mark.parametrize(("move", "ahead"), [("first", 1), ("best", 0)])
@pytest.mark.parametrize("seed", range(3))
def test_it_climbs_as_published(move, ahead, seed):
    history = search(60, ahead, seed, init=2, move=move)
    ends = climbs(history, 2, whole=move == "best")
    assert len(ends) > 1 and len({evaluation.code for evaluation in history}) == 60
    optima = [
        code for code in np.ndindex(3, 3, 3, 3) if rugged(code) > max(map(rugged, CODING.neighbours(code)))
    ]
    assert ends[0].code in optima  # later climbs may end beside cells that were tried before


def test_neighbours_that_are_trained_together_are_of_one_cell():
    history = search(30, 3, init=2)
    assert {evaluation.code for evaluation in history[2:5]} <= set(
        CODING.neighbours(max(history[:2], key=lambda evaluation: evaluation.score).code)
    )


def test_a_smooth_hill_is_climbed_to_the_top():
    coding = Coding.of(DartsSpace(2, 3, 3).simplify())
    top = coding.sample(coding.random(np.random.default_rng(1)))

    def choices_right(code):
        return float(sum(top[label] == value for label, value in coding.sample(code).items()))

    history = search(1000, 1, coding=coding, score=choices_right)
    assert max(evaluation.score for evaluation in history) == len(top)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("local_search:move=best,ahead=2", "ahead is not supported with move=best"),
        ("local_search:move=worst", "did you mean|known: first, best"),
        ("local_search:init=0", "init.*greater than or equal to 1"),
        ("local_search:candidates=0", "candidates.*greater than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        strategies.parse(text)
