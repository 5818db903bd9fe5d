"""The search space that docs/extending.md shows, searched as it is printed there."""

import re
from pathlib import Path

import numpy as np
import pytest

import search_spaces
from search_spaces import registry

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def convolutional(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "convolutional.py").write_text(
        next(block for block in blocks if "class Convolutional" in block)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "SPACES", dict(registry.SPACES))
    search_spaces.register("conv", "convolutional:Convolutional", "DARTS without pooling")
    yield search_spaces.parse("conv")
    registry.parse.cache_clear()


def test_the_space_of_the_docs_has_cells_and_networks(convolutional):
    cell = convolutional.random(np.random.default_rng(0))
    assert not any("pool" in name for kind in cell.kinds for name, _ in cell.edges(kind))
    assert search_spaces.parse("conv:nodes=2").text == "conv:nodes=2"
    assert convolutional.model_space(2, 3, 3).space == convolutional
