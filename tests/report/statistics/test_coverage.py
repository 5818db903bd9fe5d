"""A short run of benchmarks/coverage.py: enough to catch an interval that is wrong, not to certify one."""

import numpy as np
import pytest

from benchmarks import coverage, simulated


@pytest.mark.parametrize(
    ("draw", "options"),
    [
        (simulated.plain, {"n": 3, "random": 24}),
        (simulated.plain, {"n": 8, "random": 8}),
        (simulated.nested, {"draws": 2, "searches": 4, "share": 0.6}),
        (simulated.looked_at, {"looks": 5, "arms": 6}),
    ],
    ids=lambda value: "-".join(f"{each}" for each in value.values()) if isinstance(value, dict) else "",
)
def test_tests_keep_their_level_and_intervals_cover(draw, options):
    found = draw(2000, np.random.default_rng(1), **options)
    assert found.found.mean() < 0.068  # 0.055 and three standard errors
    assert not len(found.ratios) or (found.ratios <= 1).mean() > 0.93


def test_searches_that_share_trainings_are_covered_and_rows_as_units_are_not():
    found = simulated.shared_trainings(150, np.random.default_rng(0), cells=3, has_noise=False)
    assert (found.ratios <= 1).mean() > 0.9
    refused = simulated.shared_trainings(5, np.random.default_rng(0), cells=1)
    assert len(refused.found) == 0


def test_a_setting_that_fails_is_named_after_holms_correction():
    rows = [{"p_findings": 1e-5, "p_coverage": 0.3}, {"p_findings": 0.03}]
    coverage.judge(rows)
    assert [row["fails"] for row in rows] == [["findings"], []]


def test_every_claim_has_its_settings():
    groups = {group for group, *_ in coverage.settings()}
    assert groups == {
        "units", "arms", "tails", "spread", "draws", "looks", "margin", "two-way", "correlation", "rankings"
    }  # fmt: skip
