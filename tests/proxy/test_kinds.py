"""What is true of every kind in the registry."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.changes import copies_of
from nastransfer_nni.proxy.config import MakeFlags
from nastransfer_nni.proxy.step import KINDS, register
from tests.proxy.cases import CASES, pool_of

DOCS = Path(__file__).parents[2] / "docs" / "proxies.md"
EQUAL = pool_of([100] * 10)
UNEQUAL = pool_of([100 + 7 * label for label in range(10)])

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)


def test_every_kind_has_a_case():
    assert {step.kind for case in CASES for step in spec.parse(case.text).steps} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_docs_and_flags_have_every_kind_and_option(kind):
    docs = DOCS.read_text()
    assert f"`{kind}`" in docs
    for option, field in KINDS[kind].model_fields.items():
        assert f"`{option}`" in docs and option in MakeFlags.model_fields
        assert field.description


@every_case
def test_short_forms_are_the_inverse_of_steps(case):
    steps = spec.parse(case.text).steps
    assert spec.parse(spec.text_of(steps)).steps == steps
    assert spec.text_of(steps) == case.text


@every_case
def test_rows_are_ascending_and_go_with_the_images(case):
    proxy = spec.parse(case.text)
    rows = proxy.choose(UNEQUAL, seed=3)
    assert (np.diff(rows) > 0).all()
    if "cluster" not in case.text and "herding" not in case.text:  # rounding in k-means and sums
        order = np.random.default_rng(1).permutation(len(UNEQUAL))
        again = proxy.choose(UNEQUAL.subset(order), seed=3)
        assert set(UNEQUAL.keys[order][again]) == set(UNEQUAL.keys[rows])


@every_case
def test_the_size_is_that_of_the_choice_where_classes_are_equal(case):
    proxy = spec.parse(case.text)
    rows = proxy.choose(EQUAL, seed=3)
    if "task" not in case.text:
        assert (len(rows), len(np.unique(EQUAL.labels[rows]))) == (case.images, case.classes)
    assert len(rows) * copies_of(proxy.changes) == case.images
    assert proxy.size(images=1000, classes=10) == (case.images, case.classes)


@every_case
def test_the_seed_matters_exactly_where_a_kind_says_so(case):
    proxy = spec.parse(case.text)
    assert proxy.depends_on_seed == case.depends_on_seed
    if {"labels:random", "pixels:noise"} & {*proxy.changes}:
        return  # see test_changes.py
    choices = {
        tuple(tuple(proxy.choose(pool, seed).tolist()) for pool in (EQUAL, UNEQUAL)) for seed in range(4)
    }
    assert (len(choices) > 1) == case.depends_on_seed


def test_kinds_are_light_to_import():
    code = (
        "import sys, nastransfer_nni.proxy.config; "
        "print({'torch', 'sklearn', 'pyarrow', 'nni', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_two_kinds_of_one_name_are_a_defect():
    with pytest.raises(ValueError, match="two kinds of proxy named 'images'"):
        register("images")(KINDS["all"])
    assert KINDS["all"].kind == "all"
