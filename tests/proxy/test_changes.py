"""Null proxies and self-supervised tasks: the selected images with other labels or pixels."""

from dataclasses import replace

import numpy as np
import pytest

from nastransfer_nni.data import memory, sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy import manifest as manifests
from nastransfer_nni.proxy.changes import ChangedImages, changed, noise
from search_spaces.errors import UserError

DIGITS = sources.check("digits")


@pytest.fixture(scope="module")
def digits():
    return load(DIGITS, "train")


def made(images, text, seed=0):
    return choose.make(images, spec.parse(text), seed)


def content(images):
    return InMemoryImages.of(images).images.numpy()


def test_random_labels_are_uniform_fixed_by_key_and_seed_and_leave_the_images(digits):
    chosen, manifest = made(digits, "labels:random", 3)
    plain, _ = made(digits, "all")
    assert np.array_equal(chosen.keys, plain.keys) and np.array_equal(content(chosen), content(plain))
    expected = len(digits) / 10
    chi_squared = sum((count - expected) ** 2 / expected for count in chosen.counts.values())
    assert chi_squared < 27.9, "the 99.9% quantile of 9 degrees of freedom"
    assert abs((chosen.labels == plain.labels).mean() - 0.1) < 0.03
    label_of = dict(zip(chosen.keys.tolist(), chosen.labels.tolist(), strict=True))
    few, _ = made(digits, "images:0.2+labels:random", 3)
    assert [label_of[key] for key in few.keys.tolist()] == few.labels.tolist()
    other, _ = made(digits, "labels:random", 4)
    assert abs((chosen.labels == other.labels).mean() - 0.1) < 0.03
    assert manifest.changes == ("labels:random",) and manifest.images == "all"


def test_noise_has_the_moments_of_the_set_and_keeps_sizes_and_labels(digits):
    chosen, _ = made(digits, "pixels:noise", 3)
    plain, _ = made(digits, "all")
    assert chosen.pixels == plain.pixels and np.array_equal(chosen.labels, plain.labels)
    pixels = content(chosen) / 255
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), DIGITS.mean, atol=0.003)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), DIGITS.std, atol=0.003)
    flat = pixels.reshape(len(pixels), -1)
    neighbours = np.corrcoef(pixels[..., :-1].ravel(), pixels[..., 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01 and len(np.unique(flat, axis=0)) == len(np.unique(chosen.keys))
    few, _ = made(digits, "images:0.1+pixels:noise", 3)
    assert np.array_equal(content(few), content(chosen)[np.isin(chosen.keys, few.keys)])
    assert not np.array_equal(content(few), content(made(digits, "images:0.1,floor=0+pixels:noise", 4)[0]))
    larger, _ = made(digits, "resolution:16+pixels:noise", 3)
    assert content(larger).shape[2:] == (16, 16)
    assert (content(larger) / 255).std() == pytest.approx(pixels.std(), abs=0.005), (
        "resized before, not after"
    )


def test_noise_is_a_fixed_stream():
    """The numbers are part of what a manifest means: no release may change them."""
    image = noise((3, 2), key=7, seed=1, moments=((0.5, 0.4, 0.3), (0.25, 0.2, 0.1)))
    assert np.asarray(image).tolist() == [
        [[11, 92, 27], [91, 134, 81], [167, 72, 48]],
        [[6, 115, 49], [122, 55, 44], [12, 37, 44]],
    ]


def test_every_image_is_turned_four_times(digits):
    chosen, manifest = made(digits, "classes:3+task:rotation")
    plain, _ = made(digits, "classes:3")
    assert chosen.classes == ("0", "90", "180", "270") and len(manifest) == len(chosen) == 4 * len(plain)
    assert set(chosen.counts.values()) == {len(plain)} and manifest.num_classes == 4
    assert not chosen.source.mirrored, "a mirror image of 90 degrees would be one of 270"
    before, after = content(plain), content(chosen)
    for row in range(0, len(chosen), 97):
        image, turns = divmod(row, 4)
        assert np.array_equal(after[row], np.rot90(before[image], turns, axes=(1, 2)))
        assert chosen.labels[row] == turns


def test_the_turned_copies_of_an_image_stay_together(digits):
    chosen, _ = made(digits, "images:0.2+task:rotation")
    weights, alphas = chosen.parts((0.5, 0.25), seed=1)
    assert not set(weights.keys) & set(alphas.keys)
    assert len(set(weights.counts.values())) == 1, "as many images at each angle"
    assert len(weights) == pytest.approx(len(chosen) / 2, abs=4)
    assert len(alphas) == pytest.approx(len(chosen) / 4, abs=4)


def test_oblong_images_are_cropped_before_they_are_turned(digits):
    from PIL import Image

    class Oblong(type(digits)):
        def image(self, row):
            return Image.fromarray(np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3))

        pixels = (8, 12)

    fields = {name: getattr(digits, name) for name in digits.__dataclass_fields__}
    turned = changed(Oblong(**fields).select([0]), ("task:rotation",), 0)
    assert turned.pixels == (8, 8) and {turned.image(row).size for row in range(4)} == {(8, 8)}


@pytest.mark.parametrize(
    "text", ["labels:random", "pixels:noise", "task:rotation", "images:0.5+pixels:noise+labels:random"]
)
@pytest.mark.parametrize("inline", [5000, 100])
def test_manifests_record_the_change(digits, tmp_path, monkeypatch, text, inline):
    monkeypatch.setattr(choose, "INLINE", inline)
    chosen, manifest = made(digits, text, 5)
    manifests.write(manifest, chosen, tmp_path / "p.json")
    opened, read = choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)
    assert isinstance(opened, ChangedImages) and read.fingerprint == opened.fingerprint
    assert np.array_equal(opened.labels, chosen.labels) and np.array_equal(opened.keys, chosen.keys)
    assert np.array_equal(content(opened), content(chosen))
    written = (tmp_path / "p.json").read_text()
    (tmp_path / "p.json").write_text(written.replace('"changes"', '"change"'))
    with pytest.raises(UserError, match="unknown option 'change'"):
        choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)
    (tmp_path / "p.json").write_text(written.replace('"seed": 5', '"seed": 6'))
    if text != "task:rotation":
        with pytest.raises(UserError, match="its images are not the same"):
            choose.resolve(spec.parse(str(tmp_path / "p.json")), DIGITS)


def test_no_change_has_the_fingerprint_of_another(digits):
    texts = ("all", "labels:random", "pixels:noise", "task:rotation", "pixels:noise+labels:random")
    found = {made(digits, text, seed)[1].fingerprint for text in texts for seed in range(2)}
    assert len(found) == 1 + 2 + 2 + 1 + 2
    brighter = replace(digits, source=replace(DIGITS, mean=(0.9, 0.9, 0.9)))
    fingerprints = {made(each, "pixels:noise")[1].fingerprint for each in (digits, brighter)}
    assert len(fingerprints) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels:random+images:0.5", "proxy labels:random changes the images .* put it behind images:0.5"),
        ("pixels:noise+resolution:16+hard:9", "put it behind hard:9"),
        ("labels:random+task:rotation", "cannot be combined"),
        ("pixels:noise+pixels:noise", "cannot be combined"),
        ("labels:true", r"unknown draw of proxy labels 'true'"),
        ("pixels", "fill is needed"),
        ("task:jigsaw", "unknown target of proxy task 'jigsaw'"),
    ],
)
def test_chains_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        spec.parse(text)


@pytest.mark.parametrize("text", ["task:rotation", "pixels:noise", "images:0.5+labels:random"])
@pytest.mark.parametrize("is_kept", [True, False], ids=["the set's pixels are kept", "nothing is kept"])
def test_the_kept_pixels_of_a_set_are_not_those_of_a_changed_one(text, is_kept, tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path))
    monkeypatch.setattr(memory, "MANY", 100)
    digits = load(DIGITS, "train")
    if is_kept:
        InMemoryImages.kept(digits, (8, 8))
    chosen, _ = made(digits, text)
    assert np.array_equal(InMemoryImages.kept(chosen, (8, 8)).images.numpy(), content(chosen))
    assert np.array_equal(InMemoryImages.kept(digits, (8, 8)).images.numpy(), content(digits))
