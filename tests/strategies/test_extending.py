"""The strategies that docs/extending.md and strategies/supernet/ show, run as they are printed there."""

import inspect
import re
import textwrap
from pathlib import Path

import pytest

import strategies
from nastransfer_nni.search.config import SearchConfig
from strategies import supernet as supernet_module
from strategies.interfaces import SearchContext

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, code):
        (tmp_path / f"{name}.py").write_text(code)

    return write


def test_the_strategy_of_the_docs_climbs(module, multi_trial, costs):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    module("hill_climbing", next(block for block in blocks if "class HillClimbing" in block))
    text = "hill_climbing:HillClimbing:candidates=20"
    assert strategies.parse(text).options.training_images(2, 10, 10) == 20 * 2 * 10
    found = multi_trial(text, SearchContext(seed=1, mult_adds=costs, max_mult_adds=costs.base * 5 // 4))
    assert found.result.candidates == 20
    for index, child in enumerate(found.history[1:], start=1):
        best = max(found.history[:index], key=lambda evaluation: evaluation.score)
        assert sum(one != other for one, other in zip(child.code, best.code, strict=True)) == 1
    assert costs(found.result.genotype) <= costs.base * 5 // 4


def test_the_smallest_strategy_on_shared_weights_runs(module, supernet):
    docstring = inspect.getdoc(supernet_module)
    code = textwrap.dedent(docstring.split("\n\n", 2)[2].rpartition("\n\nNNI's mutation hooks")[0])
    module("my_search", code)
    found = supernet("my_search:Options")
    assert (found.result.candidates, found.result.epochs) == (20, 2)


def test_the_method_of_the_docs_brings_its_options(module):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    module("robust_darts", next(block for block in blocks if "class RobustDarts" in block))
    config = SearchConfig.create({"strategy": "robust_darts:RobustDarts"})
    assert (config.weight_decay, config.strategy.options.changed()) == (27e-4, {})
    assert config.strategy.options.drop_path == 0.2


def test_the_smallest_preset_costs_what_the_docs_say():
    root = PAGE.parents[1]
    code = (root / "strategies" / "presets" / "darts_plus.py").read_text("utf-8")
    mentions = ["strategies/presets/__init__.py", "tests/strategies/cases.py"]
    lines = [line for path in mentions for line in (root / path).read_text("utf-8").splitlines()]
    own = ('"darts+', '("darts+')
    named = sum(line.strip().startswith(own) for line in lines) + 1  # and a row of the docs
    assert f"costs {len(code.splitlines()) + named} lines" in PAGE.read_text("utf-8")
