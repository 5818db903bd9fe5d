import pytest

from nastransfer_nni.base.format import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (float("nan"), ""),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1.0 min"),
        (90, "1.5 min"),
        (3600, "1.0 h"),
        (11_520, "3.2 h"),
        (172_799, "48.0 h"),
        (172_800, "2.0 days"),
        (216_000, "2.5 days"),
    ],
)
def test_a_duration_is_shown_in_the_largest_unit_that_fits(seconds, text):
    assert duration(seconds) == text
