import threading

import numpy as np
import pandas
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from nastransfer_nni.data import sources
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import choose, networks, scorers, spec
from search_spaces.errors import UserError


@pytest.fixture(scope="module")
def digits():
    return load(sources.check("digits"), "train")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "cache"))


def source_of(text):
    return spec.parse_steps(text)[0].score_source


def test_a_network_trained_here_scores_every_image(digits, monkeypatch):
    digits = digits.select(range(600))
    source = source_of("entropy-p1:0.1,epochs=8")
    found = {name: scorers.scores(digits, source, name) for name in ("entropy", "loss", "margin", "features")}
    entropy, loss = found["entropy"].values, found["loss"].values
    assert entropy.shape == (600,) and found["features"].values.shape == (600, 64)
    assert (entropy >= 0).all() and (entropy <= np.log(10) + 1e-9).all()
    assert (found["margin"].values < 0).mean() > 0.9, "the network has learnt its training set"
    assert np.corrcoef(loss, found["margin"].values)[0, 1] > 0.5
    # They go with the images, whatever the order these are asked for in.
    rows = np.random.default_rng(0).permutation(len(digits))
    again = scorers.scores(digits.select(rows), source, "entropy")
    assert np.array_equal(again.values, entropy[rows]) and again.origin == found["entropy"].origin
    # Computed once.
    monkeypatch.setattr(networks, "train_network", None)
    assert np.array_equal(scorers.scores(digits, source, "entropy").values, entropy)


def test_scores_follow_from_the_networks_outputs(digits):
    few = digits.select(range(0, 1437, 60))
    path = scorers.compute(few, source_of("hard:0.5,epochs=1"))
    table = pyarrow.parquet.read_table(path).to_pandas().set_index("key")
    torch.manual_seed(0)
    network, content = networks.train_network(few.canonical(), 1, path.parent)
    features, logits = zip(*networks.network_outputs(network, content, few.canonical(), 0), strict=True)
    chances = torch.cat(logits).double().softmax(1).numpy()
    for row in range(len(few)):
        key, chance, label = few.canonical().key(row), chances[row], few.canonical().labels[row]
        assert table.loc[key, "entropy"] == pytest.approx(-(chance * np.log(chance)).sum(), abs=1e-5)
        assert table.loc[key, "loss"] == pytest.approx(-np.log(chance[label]), abs=1e-5)
        best_other = np.delete(chance, label).max()
        assert table.loc[key, "margin"] == pytest.approx(np.log(best_other) - np.log(chance[label]), abs=1e-5)
        np.testing.assert_allclose(table.loc[key, "features"], torch.cat(features)[row], atol=1e-5)


def test_an_interrupted_scorer_resumes_to_the_same_scores(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(scorers, "_PART", 64)
    monkeypatch.setattr(networks, "_EVALUATION_BATCH", 32)
    few, source = digits.select(range(300)), source_of("entropy-p1:0.1,epochs=3")
    whole = scorers.scores(few, source, "entropy").values
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "other"))
    set_epoch, outputs = BatchLoader.set_epoch, networks.network_outputs
    epochs, begun = [], []

    def dies_in_the_third_epoch(loader, epoch):
        epochs.append(epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        set_epoch(loader, epoch)

    def dies_after_a_part(*arguments):
        begun.append(arguments[-1])
        for number, batch in enumerate(outputs(*arguments)):
            if len(begun) == 1 and number == 5:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(BatchLoader, "set_epoch", dies_in_the_third_epoch)
    monkeypatch.setattr(networks, "network_outputs", dies_after_a_part)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            scorers.compute(few, source)
    again = scorers.scores(few, source, "entropy").values
    assert (epochs, begun) == ([0, 1, 2, 2], [0, 128])
    np.testing.assert_allclose(again, whole, atol=1e-6)


@pytest.mark.parametrize("classes", [10, 7])
def test_any_timm_model_scores(digits, tmp_path, classes):
    import timm

    few = digits.select(range(120))
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=1000)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    few = few.relabel(few.classes[:classes])
    found = scorers.scores(
        few, source_of(f"cluster:0.5,scorer=timm:test_resnet@{tmp_path / 'weights.pth'}"), "features"
    )
    assert found.values.shape == (len(few), model.num_features)
    entropy = scorers.scores(
        few, source_of(f"hard:0.5,scorer=timm:test_resnet@{tmp_path / 'weights.pth'}"), "entropy"
    )
    assert entropy.values.max() <= np.log(classes) + 1e-9, "a linear probe has the set's own classes"


def test_missing_timm_models_and_weights_are_refused(digits, tmp_path):
    with pytest.raises(UserError, match="timm has no model 'resnet17'; it has resnet"):
        scorers.scores(digits, source_of("hard:0.5,scorer=timm:resnet17"), "loss")
    for content in (b"", b"no weights"):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(UserError, match="cannot load the weights"):
            scorers.scores(
                digits, source_of(f"hard:0.5,scorer=timm:test_resnet@{tmp_path / 'w.pth'}"), "loss"
            )


def test_weights_that_would_run_code_are_refused(digits, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="cannot load the weights of timm's test_resnet"):
        networks.timm_model(f"test_resnet@{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "ran").exists()


def test_a_users_file_with_and_without_keys(digits, tmp_path):
    loss = np.random.default_rng(0).random(len(digits))
    frame = pandas.DataFrame({"loss": loss, "key": [digits.key(row) for row in range(len(digits))]})
    frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "keyed.parquet")
    frame[["loss"]].to_parquet(tmp_path / "plain.parquet")
    keyed, plain = (
        scorers.scores(digits, source_of(f"hard:0.5,scores={tmp_path / name}.parquet"), "loss")
        for name in ("keyed", "plain")
    )
    assert np.array_equal(keyed.values, loss) and np.array_equal(plain.values, loss)
    assert keyed.origin["fingerprint"] == plain.origin["fingerprint"]
    frame.assign(loss=loss * 2).to_parquet(tmp_path / "keyed.parquet")
    other = scorers.scores(digits, source_of(f"hard:0.5,scores={tmp_path / 'keyed.parquet'}"), "loss")
    assert other.origin["fingerprint"] != keyed.origin["fingerprint"]


@pytest.mark.parametrize(
    ("column", "table", "message"),
    [
        ("loss", {"entropy": [1.0] * 1437}, "has no column 'loss'; it has entropy"),
        ("loss", {"loss": [1.0] * 3}, "has 3 rows and no column 'key'"),
        ("loss", {"loss": [1.0], "key": ["0" * 16]}, "has no row for 1437 of the 1437 images"),
        ("loss", {"loss": [1.0, None] * 700 + [1.0] * 37}, "negative, missing or infinite"),
        ("entropy", {"entropy": [-1.0] * 1437}, "negative, missing or infinite"),
        ("features", {"features": [[1.0], [1.0, 2.0]] * 718 + [[1.0]]}, "equally long in every row"),
        ("loss", {"loss": [1.0], "key": ["zz"]}, "keys must be 16 hexadecimal digits"),
        ("loss", {"loss": ["much"] * 1437}, "loss must be numbers"),
        ("loss", {"loss": [], "key": []}, "has no rows"),
        ("features", {"features": [1.0] * 1437}, "features must be lists of finite numbers"),
        ("features", {"features": [["a"]] * 1437}, "features must be lists of finite numbers"),
        ("features", {"features": [[1.0], [1.0] * 3] + [[1.0] * 2] * 1435}, "equally long in every row"),
    ],
)
def test_bad_files_are_refused(digits, tmp_path, column, table, message):
    pandas.DataFrame(table).to_parquet(tmp_path / "s.parquet")
    with pytest.raises(UserError) as error:
        scorers.scores(digits, source_of(f"hard:0.5,scores={tmp_path / 's.parquet'}"), column)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_score_file_is_refused_before_a_search(tmp_path):
    (tmp_path / "s.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"s\.parquet is no Parquet file"):
        spec.parse(f"hard:0.5,scores={tmp_path / 's.parquet'}").scorer_cost(100)


def test_other_weights_in_the_same_file_are_another_scorer(tmp_path):
    weights = tmp_path / "w.pth"
    identities = []
    for content in (b"one", b"other", b"one"):
        weights.write_bytes(content)
        identities.append(source_of(f"hard:0.5,scorer=timm:test_resnet@{weights}").identity)
    assert identities[0] == identities[2] != identities[1]
    assert source_of("hard:0.5,epochs=7").identity == ["network", 7]


def test_of_searches_that_need_the_same_scores_one_computes_them(tmp_path):
    final, computed = tmp_path / "s.parquet", []
    other = threading.Thread(target=lambda: scorers._once(final, lambda: computed.append("other")))

    def compute():
        other.start()
        computed.append("first")
        final.touch()

    assert scorers._once(final, compute) == final
    other.join()
    assert computed == ["first"]


def test_a_model_that_knows_the_classes_needs_no_probe(digits, tmp_path, monkeypatch):
    """Ten digits that have the names of ImageNet's classes: the model's own head says how sure it is."""
    import timm

    few = digits.select(range(40))
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=1000)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    source = source_of(f"hard:0.5,scorer=timm:test_resnet@{tmp_path / 'w.pth'}")
    monkeypatch.setattr(networks, "_imagenet_classes", lambda count: few.canonical().classes)
    monkeypatch.setattr(networks, "probe", None)
    model.eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    chances = (
        model(torch.stack([transform(few.image(row)) for row in range(40)])).double().softmax(1).detach()
    )
    expected = -(chances * chances.log()).sum(1).numpy()
    np.testing.assert_allclose(scorers.scores(few, source, "entropy").values, expected, atol=1e-4)


def test_rows_of_a_file_without_keys_are_in_the_order_of_the_set(digits, tmp_path):
    """A proxy is made from the set in canonical order."""
    loss = np.arange(len(digits), dtype=float)
    pandas.DataFrame({"loss": loss}).to_parquet(tmp_path / "plain.parquet")
    proxy = spec.parse(f"hard:0.1,scores={tmp_path / 'plain.parquet'}")
    chosen, _ = choose.make(digits, proxy, 0)
    assert min(chosen.numbers) >= 0.8 * len(digits)


@pytest.mark.parametrize("scorer", ["network", "timm"])
def test_images_that_cannot_be_read_are_left_out_of_scored_proxies(scorer, tmp_path):
    import timm

    for number in range(24):
        path = tmp_path / "set" / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9 * number, 0, 0)).save(path)
    (tmp_path / "set" / "train" / "a" / "4.png").write_bytes(b"no image")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    options = {"network": "epochs=1", "timm": f"scorer=timm:test_resnet@{tmp_path / 'weights.pth'}"}
    images = load(sources.check(str(tmp_path / "set")), "train")
    chosen, manifest = choose.make(images, spec.parse(f"hard:0.5,{options[scorer]}"), 0)
    assert len(chosen) in (11, 12) and len(manifest.left_out) == 1
    with pytest.raises(UserError, match=r"1 of 24 images .* cannot be read: a/4\.png"):
        choose.make(images, spec.parse(f"hard:0.5,{options[scorer]}"), 0, "stop")
