import numpy as np
import pytest

from search_spaces.pareto import pareto_front


def slow_front(objectives):
    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(
            x < y for x, y in zip(a, b, strict=True)
        )

    return [i for i, b in enumerate(objectives) if not any(dominates(a, b) for a in objectives)]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("values", [3, 1000], ids=["many ties", "few ties"])
def test_equals_the_quadratic_loop(objectives, values):
    rng = np.random.default_rng(0)
    for points in (0, 1, 2, 12, 40):
        table = rng.integers(values, size=(points, objectives)).astype(float)
        assert pareto_front(table).tolist() == slow_front(table.tolist())


def test_copies_of_an_undominated_point_are_all_on_the_front():
    assert pareto_front(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [0, 1, 2]
