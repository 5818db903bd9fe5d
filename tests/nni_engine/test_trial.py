import json
import os

import pytest

from nastransfer_nni.nni_engine import trial
from search_spaces.errors import UserError


@pytest.fixture
def inside(monkeypatch, tmp_path):
    """This process as a trial of NNI."""
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "job")
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "launch")
    return tmp_path


def test_no_parameters_outside_a_trial(monkeypatch):
    monkeypatch.delenv("NNI_TRIAL_JOB_ID", raising=False)
    assert trial.trial_parameters() == {}


def test_rank_0_shares_the_parameters(inside, monkeypatch):
    import nni

    monkeypatch.setattr(nni, "get_next_parameter", lambda: {"seed": 7})
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert trial.trial_parameters() == {"seed": 7}
    monkeypatch.setenv("RANK", "1")
    assert trial.trial_parameters() == {"seed": 7}
    assert json.loads((inside / "parameters-launch.json").read_text()) == {"seed": 7}


def test_ranks_do_not_wait_for_ever(inside, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(trial, "MAX_WAIT_SECONDS", -1.0)
    with pytest.raises(UserError, match="rank 0 has not shared"):
        trial.trial_parameters()


def test_outside_trial_hides_the_trial_for_the_block(inside):
    with trial.outside_trial():
        assert not trial.is_trial()
    assert trial.is_trial() and os.environ["NNI_TRIAL_JOB_ID"] == "job"


@pytest.mark.parametrize("platform", ["local", "remote"])
def test_tensorboard_button_finds_the_events_of_a_local_trial(tmp_path, monkeypatch, platform):
    """NNI starts TensorBoard on trials/ID/output/tensorboard, and gives a trial another folder."""
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "job")
    monkeypatch.setenv("NNI_PLATFORM", platform)
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path / "exp/environments/local-env/trials/job"))
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    for _ in range(2):  # a trial that is tried again finds the link of the first try
        trial.Trial().offer_tensorboard(tmp_path / "run" / "tensorboard")
    shown = tmp_path / "exp" / "trials" / "job" / "output" / "tensorboard"
    assert shown.is_symlink() == (platform == "local")
    assert shown.exists() == (platform == "local")
