"""Candidates trained from scratch: what a trial gets, and what becomes of one that diverges."""

from types import SimpleNamespace

import numpy as np
import pytest

from nastransfer_nni.search import candidates
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from search_spaces import Genotype
from search_spaces.errors import UserError

QUICK = {"epochs": 1, "width": 2, "layers": 3, "batch_size": 64, "proxy": "images:0.1", "device": "cpu"}


def evaluator(**options):
    return ScratchEvaluator(SearchConfig.create({**QUICK, "strategy": "random:candidates=2", **options}))


@pytest.fixture
def reports(monkeypatch):
    """What an evaluator reports of a random cell to NNI."""
    sample = Genotype.random(np.random.default_rng(0)).to_sample()
    reported = []
    monkeypatch.setattr(
        candidates,
        "nni",
        SimpleNamespace(
            get_current_parameter=lambda: SimpleNamespace(sample=sample),
            report_intermediate_result=lambda value: None,
            report_final_result=reported.append,
        ),
    )
    return reported


def test_a_trial_rebuilds_the_evaluator(reports):
    sent = evaluator()
    rebuilt = ScratchEvaluator._load(**sent._dump())
    for one in (sent, rebuilt):
        one.evaluate(None)
    first, second = ({**report, "seconds": 0} for report in reports)
    assert first == second
    assert first["samples"] == sent.training_images == 72
    assert first["forward_samples"] == sent.forward_images == 72
    assert first["genotype"].count("skip_connect") == first["skips"]


def test_paths_are_absolute_in_a_trial(tmp_path, monkeypatch):
    (tmp_path / "set" / "train" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    sent = evaluator(source="set")._dump()["config"]
    assert sent["source"] == str(tmp_path / "set")
    assert sent["proxy"] == "images:0.1"


def test_a_diverged_candidate_is_marked(reports):
    evaluator(lr=1e30, clip_grad=1e30).evaluate(None)
    assert reports[0].pop("seconds") > 0  # it has taken time all the same
    assert reports[0].pop("genotype").count("skip_connect") == reports[0].pop("skips")
    assert reports == [{"samples": 72, "forward_samples": 72, "default": 0.0, "diverged": True}]


def test_another_failure_is_no_accuracy(reports, monkeypatch):
    def fails(*args, **options):
        raise UserError("the disk is full")

    monkeypatch.setattr(candidates, "train", fails)
    with pytest.raises(UserError, match="the disk is full"):
        evaluator().evaluate(None)
    assert reports == []


def test_a_search_in_which_all_candidates_diverge_exports_nothing(tmp_path):
    options = {**QUICK, "strategy": "random:candidates=2", "lr": 1e30, "clip_grad": 1e30}
    with pytest.raises(UserError, match="diverged"):
        search(SearchConfig.create({**options, "out": str(tmp_path / "run")}))
    assert not (tmp_path / "run" / "architecture.json").exists()
