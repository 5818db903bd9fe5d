"""A short run of benchmarks/coverage.py: enough to catch an interval that is wrong, not to certify one."""

import pytest

from benchmarks.coverage import DESIGNS, Design, family, run


@pytest.mark.parametrize("design", [DESIGNS[0], DESIGNS[9]], ids=["8 and 8 runs", "3 draws of 3 searches"])
def test_intervals_cover_and_tests_keep_their_level(design):
    found = run(design, simulations=300, replicates=500, seed=1)
    assert 0.92 < found["report"] < 0.985  # within three standard errors of 94 to 97%
    assert found["type_1"] < 0.085
    assert found["type_1_equivalence"] < 0.085


def test_a_percentile_bootstrap_would_not():
    assert run(Design((1, 5, 1), (5, 1)), simulations=300, replicates=500, seed=0)["percentile"] < 0.91


@pytest.mark.slow
def test_holm_keeps_the_error_of_the_family():
    assert family(5, simulations=60, replicates=500, seed=0) < 0.14


def test_support_is_what_the_report_calls_sufficient():
    assert [
        Design(shape, random).is_supported
        for shape, random in [
            ((1, 8, 1), (8, 1)),
            ((1, 7, 1), (8, 1)),
            ((2, 4, 1), (8, 1)),
            ((3, 3, 1), (8, 1)),
            ((1, 2, 4), (8, 1)),
        ]
    ] == [True, False, False, True, False]
