import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.splits import split
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy import manifest as manifests
from nastransfer_nni.proxy.kinds.scored import Scored
from nastransfer_nni.proxy.manifest import Manifest, match
from search_spaces.errors import UserError
from tests.proxy.cases import CASES

DIGITS = sources.check("digits")


@pytest.fixture(scope="module")
def digits():
    return load(DIGITS, "train")


@pytest.fixture
def score_file(digits, tmp_path_factory):
    """Made-up scores and features of the digits, by key."""
    import pandas

    path = tmp_path_factory.getbasetemp() / "scores.parquet"
    if not path.is_file():
        random = np.random.default_rng(0)
        table = {
            name: random.exponential(1, len(digits))
            for name in ("entropy", "loss", "margin", "el2n", "forgetting")
        }
        table["features"] = list(random.normal(size=(len(digits), 6)))
        table["key"] = [digits.key(row) for row in range(len(digits))]
        pandas.DataFrame(table).sample(frac=1, random_state=0).to_parquet(path)
    return path


def proxy_of(text, score_file):
    steps = tuple(
        step.model_copy(update={"scores": str(score_file)}) if isinstance(step, Scored) else step
        for step in spec.parse_steps(text)
    )
    return spec.ProxySpec(text, steps)


@pytest.mark.parametrize("text", [case.text for case in CASES])
def test_manifests_round_trip_and_stay_in_the_training_split(digits, score_file, tmp_path, text):
    shuffled = digits.select(np.random.default_rng(1).permutation(len(digits)))
    chosen, manifest = choose.make(digits, proxy_of(text, score_file), seed=2)
    again, same = choose.make(shuffled, proxy_of(text, score_file), seed=2)
    assert same == manifest and np.array_equal(again.keys, chosen.keys)
    assert manifest.fingerprint == chosen.fingerprint
    manifests.write(manifest, chosen, tmp_path / "p.json")
    opened, read = choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)
    assert read == manifest
    assert np.array_equal(opened.keys, chosen.keys) and np.array_equal(opened.labels, chosen.labels)
    assert opened.pixels == chosen.pixels and opened.classes == chosen.classes
    weights, alphas = opened.parts((0.5, 0.5), 2)
    assert not set(weights.keys) & set(alphas.keys) and len(weights) + len(alphas) == len(opened)
    if manifest.changes:  # see test_changes.py
        return
    # Labels are new, the images are those of the class.
    old = dict(zip(digits.keys.tolist(), digits.labels.tolist(), strict=True))
    assert [digits.classes[old[key]] for key in chosen.keys.tolist()] == [
        chosen.classes[n] for n in chosen.labels
    ]
    assert {name: record.images for name, record in manifest.classes.items()} == dict(chosen.counts)
    # No image is in the test split, or in both splits of a search.
    assert not set(chosen.keys) & set(load(DIGITS, "test").keys)
    weights, alphas = split(chosen.labels, seed=2)
    assert not set(chosen.keys[weights]) & set(chosen.keys[alphas])
    assert len(weights) + len(alphas) == len(chosen)
    weights, alphas = split(chosen.labels, (0.1, 0.05), seed=2)
    assert not set(weights) & set(alphas)


def test_short_forms_resolve_like_their_manifests(digits):
    chosen, manifest = choose.resolve(spec.parse("classes:4+images:0.5"), DIGITS, seed=7)
    made, same = choose.make(digits, spec.parse("classes:4+images:0.5"), seed=7)
    assert manifest == same and np.array_equal(chosen.keys, made.keys)
    assert (
        choose.resolve(spec.parse("classes:4+images:0.5"), DIGITS, seed=8)[1].fingerprint
        != manifest.fingerprint
    )


def test_pairs_of_equal_size(digits):
    by_class, _ = choose.resolve(spec.parse("classes:4"), DIGITS, seed=1)
    by_image, _ = choose.resolve(spec.parse("images:like=classes:4"), DIGITS, seed=1)
    assert len(by_class) == len(by_image) and (len(by_class.classes), len(by_image.classes)) == (4, 10)


def test_many_images_go_to_a_file_beside(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "INLINE", 100)
    chosen, manifest = choose.make(digits, spec.parse("images:0.5"), seed=0)
    manifests.write(manifest, chosen, tmp_path / "p.json")
    assert (tmp_path / "p.images.parquet").is_file()
    opened, read = choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)
    assert np.array_equal(opened.keys, chosen.keys) and read.fingerprint == manifest.fingerprint
    (tmp_path / "p.images.parquet").unlink()
    with pytest.raises(UserError, match=r"p\.images\.parquet, is missing"):
        choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)


@pytest.fixture
def written(digits, tmp_path):
    chosen, manifest = choose.make(digits, spec.parse("images:0.1"), seed=0)
    manifests.write(manifest, chosen, tmp_path / "p.json")
    return tmp_path / "p.json"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(version=3), "version 3 is newer than this release"),
        (lambda m: m.update(version="x"), "is no proxy manifest: version"),
        (lambda m: m.update(format="x"), "is no proxy manifest: format"),
        (lambda m: m.pop("classes"), "is no proxy manifest: classes is needed"),
        (lambda m: m.update(extra=1), "is no proxy manifest: unknown option 'extra'"),
        (lambda m: m["classes"]["3"].update(label=7), "labels of its classes must be 0 to 9"),
        (lambda m: m["source"].update(fingerprint="0" * 16), "its images are not the same"),
        (lambda m: m["images"]["3"].pop(), "its images are not the same"),
        (lambda m: m["images"]["3"].append("0x12"), "16 hexadecimal digits (got '0x12')"),
        (lambda m: m["images"].update(threee=[]), "unknown class among its images 'threee'"),
        (lambda m: m["images"]["3"].append("0" * 16), "1 of the 144 images are not in it"),
        (
            lambda m: [m[part].update(cat=m[part].pop("3")) for part in ("classes", "images")],
            "it has no class 'cat'",
        ),
    ],
)
def test_manifests_that_do_not_fit_are_refused(written, edit, message):
    content = json.loads(written.read_text())
    edit(content)
    written.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        choose.resolve(spec.parse(str(written)), DIGITS)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "\x00"])
def test_other_files_are_no_manifests(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UserError, match="is no proxy manifest"):
        Manifest.read(tmp_path / "p.json")


def test_the_manifest_is_small_where_whole_classes_are_kept(digits, tmp_path):
    chosen, manifest = choose.make(digits, spec.parse("classes:5"), seed=0)
    manifests.write(manifest, chosen, tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text())["images"] == "all"
    assert (tmp_path / "p.json").stat().st_size < 1500


def test_a_proxy_of_one_class_is_refused(digits):
    with pytest.raises(UserError, match="a proxy needs at least 2 classes"):
        choose.make(digits, spec.parse("classes:names=3"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=15))
def test_matching_finds_each_as_often_as_it_is_there(there, wanted):
    there, wanted = np.array([*there, 77], dtype=np.uint64), np.array(wanted, dtype=np.uint64)
    rows, found = match(wanted, there)
    left = there.tolist()
    for value, row, is_found in zip(wanted, rows, found, strict=True):
        assert is_found == (value in left)
        if is_found:
            assert there[row] == value
            left.remove(value)
    assert len(set(rows[found])) == found.sum()


VERSION_1 = """{
 "format": "nastransfer-proxy",
 "version": 1,
 "source": {
  "name": "digits",
  "split": "train",
  "fingerprint": "f73341a9aa5fcbef",
  "images": 1437
 },
 "proxy": "classes:3,per_class=4+resolution:12",
 "kind": "classes+resolution",
 "options": [
  {
   "num_classes": 3,
   "select": "random",
   "per_class": 4
  },
  {
   "pixels": 12
  }
 ],
 "seed": 3,
 "pixels": 12,
 "classes": {
  "3": {
   "label": 0,
   "images": 4
  },
  "6": {
   "label": 1,
   "images": 4
  },
  "8": {
   "label": 2,
   "images": 4
  }
 },
 "fingerprint": "12065e3698a6660b",
 "images": {
  "3": [
   "3884d4a7e07a7d7a",
   "7aa5ab05caffcb17",
   "d47b6b8786d548df",
   "f6cd261586259e74"
  ],
  "6": [
   "03688ad1091c4718",
   "0ab197723fccd8a5",
   "4b507864f22fc24b",
   "90d37120fc9e2e04"
  ],
  "8": [
   "15952f7540c76b95",
   "91c5fba07576fc93",
   "c1edb31ced0ea639",
   "feb78a77d4ec60ae"
  ]
 },
 "scores": [],
 "left_out": []
}
"""
"""A manifest that version 0.1 wrote."""


def test_manifests_of_version_0_1_are_read_and_are_what_is_made_today(digits, tmp_path):
    (tmp_path / "p.json").write_text(VERSION_1)
    opened, manifest = choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)
    chosen, made = choose.make(digits, spec.parse("classes:3,per_class=4+resolution:12"), seed=3)
    assert manifest == made and np.array_equal(opened.keys, chosen.keys) and opened.pixels == (12, 12)
    manifests.write(made, chosen, tmp_path / "p.json")
    expected = VERSION_1.replace('"version": 1', '"version": 2').replace('"pixels"', '"img_size"')
    assert (tmp_path / "p.json").read_text() == expected


def test_draws_that_ignore_the_seed_have_one_fingerprint(digits):
    unequal = digits.select(
        np.flatnonzero((digits.labels % 3 > 0) | (np.arange(len(digits)) % 5 > digits.labels / 3))
    )
    for text, draws in (
        ("resolution:8", 1),
        ("head:0.3", 1),
        ("tail:0.2", 1),
        ("classes:3,select=most", 1),
        ("images:0.5", 3),
    ):
        found = {choose.make(unequal, spec.parse(text), seed)[1].fingerprint for seed in range(3)}
        assert len(found) == draws, text


def test_no_key_is_found_in_a_set_without_images():
    rows, found = match(np.array([1, 2], dtype=np.uint64), np.array([], dtype=np.uint64))
    assert len(rows) == 2 and not found.any()
