"""Strategies by name: every one has tests and documentation, bad texts are refused in one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field, field_validator

import strategies
from search_spaces.errors import UserError
from strategies.presets import PRESETS
from tests.strategies.cases import CANDIDATES, STAGED, SUPERNETS, named

ROOT = Path(__file__).parents[2]
PRESET_NAMES = {name for name, _, _ in PRESETS}


def test_every_strategy_has_a_case():
    assert named(SUPERNETS) | named(STAGED) | named(CANDIDATES) == set(strategies.STRATEGIES)
    shared = {text: strategies.parse(text).options.shares_weights for text in SUPERNETS + CANDIDATES}
    assert [text for text, shares in shared.items() if shares] == SUPERNETS


@pytest.mark.parametrize("name", [name for name in strategies.STRATEGIES if name not in PRESET_NAMES])
def test_documentation_has_every_strategy_and_option(name):
    page = (ROOT / "docs" / "strategies.md").read_text("utf-8")
    section = re.search(rf"^### `{name}`$(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/strategies.md has no section ### `{name}`"
    fields = strategies.STRATEGIES[name].options.model_fields
    documented = set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))
    assert documented == set(fields)


@pytest.mark.parametrize("name", strategies.STRATEGIES)
def test_every_option_says_what_it_means(name):
    for option, field in strategies.STRATEGIES[name].options.model_fields.items():
        assert field.description, option


def test_names_and_options_need_neither_torch_nor_nni():
    code = "import sys, strategies; strategies.parse('enas:hidden=3'); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dart", "unknown strategy 'dart' .did you mean 'darts'"),
        ("darts:ordre=2", "unknown darts option 'ordre' .did you mean 'order'"),
        ("darts:cell=fsat", "unknown value of darts:cell 'fsat' .did you mean 'fast'.*known: fast, plain"),
        ("darts:order=3", "darts:order: .*less than or equal to 2 .got '3'"),
        ("darts:order=1,order=2", "order is given twice"),
        ("darts:order", "must be option=value pairs"),
        ("darts:", "must be option=value pairs"),
        ("darts:recompute=true,cell=plain", "recompute is not supported with cell=plain"),
        ("darts:alpha_learning_rate=1", "did you mean 'alpha_lr'"),
        ("gumbel:temperature=2", "unknown strategy 'gumbel' .did you mean 'darts:relaxation=gumbel'"),
        ("enas:controller_learning_rate=1", "did you mean 'controller_lr'"),
        ("random:samples=3", "did you mean 'candidates'"),
        ("evolution:generations=3", "not supported with selection=regularized"),
        ("evolution:selection=nsga2,tournament=3", "not supported with selection=nsga2"),
        ("evolution:population=10", "larger than the population of 10"),
        ("random:candidates=0", "candidates"),
        ("no_such_module:Class", "no module 'no_such_module'"),
        ("strategies.nowhere:Class", "no module 'strategies.nowhere'"),
        ("json:Class", "not a class of options .* in json; there are: none"),
        ("strategies.builtin:Ena", "there are: .*EnasOptions"),
        ("strategies.darts.search:Darts", "not a class of options"),
        ("strategies.options:Options", "not a class of options"),
        ("a b:Class", "neither a name nor package.module:Class"),
        (":", "neither a name nor package.module:Class"),
        ("", "unknown strategy ''"),
    ],
)
def test_bad_texts_are_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as refusal:
        strategies.parse(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("darts:alpha_learning_rate=6e-4,order=2", "darts:alpha_lr=6e-4,order=2"),
        ("gumbel:alpha_learning_rate=1", "darts:relaxation=gumbel,alpha_lr=1"),
        ("gumbel", "darts:relaxation=gumbel"),
        ("enas:controller_learning_rate=1", "enas:controller_lr=1"),
        ("random:samples=8", "random:candidates=8"),
        ("random_ws:candidates=8", "random_ws:candidates=8"),
        ("evolution", "evolution"),
        ("nobody:samples=8", "nobody:samples=8"),
    ],
)
def test_texts_of_version_0_1_are_upgraded(old, new):
    assert strategies.upgrade(old) == new


class Broken(strategies.Options):
    """Options with a defect of their own."""

    number: int = Field(1, description="a number")

    def create(self):
        raise AssertionError("options that were refused create no strategy")

    @field_validator("number")
    @classmethod
    def _defect(cls, number):
        raise ValueError("a defect")


def test_a_defect_in_options_is_no_user_error():
    with pytest.raises(ValueError, match="a defect") as defect:
        strategies.parse(f"{__name__}:Broken:number=2")
    assert not isinstance(defect.value, UserError)


def test_a_module_that_lacks_something_itself_shows_what(tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        strategies.parse("lacking:Class")
