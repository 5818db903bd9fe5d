"""EL2N and forgetting events, against slow computations by their definitions."""

import itertools

import numpy as np
import pytest
import torch

from nastransfer_nni.data import sources
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import dynamics, networks, scorers, spec
from search_spaces.errors import UserError


@pytest.fixture(scope="module")
def few():
    return load(sources.check("digits"), "train").select(range(0, 1437, 30)).canonical()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "cache"))


def column(images, name, epochs):
    source = spec.parse_steps(f"hard:0.5,by={name},epochs={epochs}")[0].score_source
    return scorers.scores(images, source, name).values


def test_el2n_is_the_mean_error_norm_of_several_networks(few, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics, "EL2N_NETWORKS", 2)
    found = column(few, "el2n", 1)
    norms = []
    for seed in range(2):
        network, content = networks.train_network(few, 1, tmp_path / str(seed), seed=seed)
        batches = networks.network_outputs(network, content, few, 0)
        logits = torch.cat([batch for _, batch in batches]).double().numpy()
        for row, label in enumerate(few.labels):
            chances = np.exp(logits[row]) / np.exp(logits[row]).sum()
            chances[label] -= 1
            norms.append(sum(chances**2) ** 0.5)
    first, second = np.array(norms).reshape(2, -1)
    np.testing.assert_allclose(found, (first + second) / 2, rtol=1e-4)
    assert not np.allclose(first, second), "the networks have different seeds"


def test_forgetting_counts_how_often_right_turns_to_wrong():
    random = np.random.default_rng(0)
    forgetting, history = dynamics.Forgetting(20), [[] for _ in range(20)]
    for _ in range(60):
        rows, is_right = random.permutation(20)[:7], random.random(7) < 0.4
        is_right[rows == 3] = False
        forgetting.see(torch.tensor(rows), torch.tensor(is_right))
        for row, right in zip(rows, is_right, strict=True):
            history[row].append(bool(right))
    expected = [
        sum(before and not after for before, after in itertools.pairwise(seen)) if any(seen) else 99
        for seen in history
    ]
    assert forgetting.counts(never_learnt=99).tolist() == expected and expected[3] == 99


def test_an_interrupted_training_keeps_its_counts(few, tmp_path, monkeypatch):
    whole = column(few, "forgetting", 4)
    assert len(set(whole)) > 1 and whole.max() <= 4
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path / "other"))
    set_epoch, epochs = BatchLoader.set_epoch, []

    def dies_in_the_third_epoch(loader, epoch):
        epochs.append(epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        set_epoch(loader, epoch)

    monkeypatch.setattr(BatchLoader, "set_epoch", dies_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        column(few, "forgetting", 4)
    assert np.array_equal(column(few, "forgetting", 4), whole) and epochs == [0, 1, 2, 2, 3]
    monkeypatch.setattr(networks, "train_network", None)
    assert np.array_equal(column(few, "forgetting", 4), whole), "computed once"


def test_a_pretrained_network_has_no_training_to_watch():
    with pytest.raises(UserError, match="by=el2n watches networks that are trained"):
        spec.parse("hard:0.5,by=el2n,scorer=timm:resnet18")
