"""Candidates trained from scratch: what a trial gets, and what becomes of one that diverges."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nastransfer_nni.search import candidates
from nastransfer_nni.search.candidates import ScratchEvaluator
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.training.loop import TrainingDiverged
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


def test_a_trial_in_another_folder_finds_what_relative_names_mean(tmp_path, monkeypatch):
    """NNI asks for what it sends when it has left the working directory, too."""
    for folder in ("owner/photos/train/a", "owner/photos/train/b", "digits", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    for label in "ab":
        for number in range(4):
            image = Image.new("RGB", (8, 8), (9 * number, 0, 0))
            image.save(tmp_path / "owner/photos/train" / label / f"{number}.png")
    (tmp_path / "chosen.txt").write_text("0\n1\n4\n5\n")
    monkeypatch.chdir(tmp_path)
    made = evaluator(source="owner/photos@level=outer", proxy="indices:chosen.txt")
    known = evaluator()
    monkeypatch.chdir(tmp_path / "elsewhere")
    trial = ScratchEvaluator._load(**made._dump())
    assert trial.config.source.folder == tmp_path / "owner/photos"
    assert len(trial._images) == 4
    assert ScratchEvaluator._load(**known._dump()).config.source.folder is None, "the known set of that name"


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


@pytest.mark.parametrize("allowed", [True, False])
def test_a_trial_keeps_to_the_option_of_tf32(allowed, reports, monkeypatch):
    """The search that has started it trains nothing itself."""
    seen = []

    def trained(*args, **options):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        raise TrainingDiverged("the loss is not finite")

    monkeypatch.setattr(candidates, "train", trained)
    ScratchEvaluator._load(**evaluator(tf32=allowed)._dump()).evaluate(None)
    assert seen == [allowed] and len(reports) == 1


def test_scores_refuse_the_precision_of_training():
    with pytest.raises(UserError, match="--amp speeds up training, and the strategy score trains nothing"):
        SearchConfig.create({**QUICK, "strategy": "score:by=nwot,candidates=2", "amp": True})
