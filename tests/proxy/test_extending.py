"""The worked example of docs/extending.md: a kind of proxy set is one file and one line."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy.step import KINDS
from search_spaces.errors import UserError
from tests.proxy.cases import pool_of

EQUAL = pool_of([100] * 10)
DOCS = Path(__file__).parents[2] / "docs" / "extending.md"
EXAMPLE = '''\
import numpy as np
from pydantic import Field

from nastransfer_nni.data.hashing import Rows
from nastransfer_nni.proxy.pool import Pool
from nastransfer_nni.proxy.step import Size, Step, register


@register("every")
class Every(Step):
    """Every k-th image of each class, in the order of their keys."""

    main = "k"
    k: int = Field(ge=1, description="keep one image in k of each class")

    @property
    def depends_on_seed(self) -> bool:
        return False

    def choose(self, pool: Pool, seed: int) -> Rows:
        ordered = np.lexsort((pool.keys, pool.labels))
        position = np.concatenate([np.arange(count) for count in pool.counts])  # of each image in its class
        return np.sort(ordered[position % self.k == 0])

    def size(self, pool: Size, source: Size) -> Size:
        return Size(round(pool.images / self.k), pool.classes)
'''


@pytest.fixture
def every(tmp_path):
    """The example as a module, registered for one test."""
    (tmp_path / "every.py").write_text(EXAMPLE)
    module_spec = importlib.util.spec_from_file_location("every", tmp_path / "every.py")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    yield module
    del KINDS["every"]


def test_a_new_kind_works_everywhere_once_it_is_registered(every):
    digits = load(sources.check("digits"), "train")
    proxy = spec.parse("classes:5+every:3")
    chosen, manifest = choose.make(digits, proxy, seed=1)
    classes, _ = choose.make(digits, spec.parse("classes:5"), seed=1)
    expected = [keys[::3] for keys in (np.sort(classes.keys[classes.labels == label]) for label in range(5))]
    assert chosen.keys.tolist() == np.concatenate(expected).tolist()
    assert (manifest.proxy, manifest.options[1]) == ("classes:5+every:3", {"k": 3})
    assert not spec.parse("every:4").depends_on_seed
    assert spec.parse("every:4").size(1000, 10) == (len(spec.parse("every:4").choose(EQUAL, seed=0)), 10)
    with pytest.raises(UserError, match=r"unknown kind of proxy 'evry' \(did you mean 'every'\?\)"):
        spec.parse("evry:3")
    with pytest.raises(UserError, match="proxy every: k: Input should be greater than or equal to 1"):
        spec.parse("every:0")


@pytest.mark.skipif(not DOCS.is_file(), reason="docs/extending.md is not written yet")
def test_docs_show_this_example():
    assert EXAMPLE in DOCS.read_text()
