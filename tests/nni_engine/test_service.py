import sys
from pathlib import Path

import pytest

from nastransfer_nni.nni_engine.service import TrainingService, assignments, read_service
from search_spaces.errors import UserError


def test_default_is_this_machine():
    service = read_service(None)
    assert service.is_local and service.reaches_localhost_only
    assert service.python == sys.executable


def test_service_of_other_machines(tmp_path):
    key = tmp_path / "key"
    key.write_text("")
    file = tmp_path / "cluster.yml"
    file.write_text(
        "nniManagerIp: 10.0.0.1\n"
        "trainingService:\n"
        "  platform: remote\n"
        f"  machineList: [{{host: 10.0.0.5, user: me, ssh_key_file: {key}}}]\n"
    )
    service = read_service(str(file))
    assert not service.is_local and not service.reaches_localhost_only
    assert service.python == "python"
    assert service.settings() == {"trainingService": service.section, "nniManagerIp": "10.0.0.1"}


def test_manager_on_localhost_serves_no_other_machine():
    assert TrainingService({"platform": "remote"}, "127.0.0.1").reaches_localhost_only


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a", "must have a section trainingService"),
        (b"trainingService: local", "must name its platform"),
        (b"trainingService: {machineList: []}", "must name its platform"),
        (b"trainingService: {platform: local}\ntrialCommand: x", "unknown section 'trialCommand'"),
        (b"trainigService: {platform: local}", "did you mean 'trainingService'"),
        (b"trainingService: {platform: nowhere}", "NNI refuses it: it has no platform 'nowhere'"),
        (b"trainingService: {platform: local, gpus: 3}", "LocalConfig does not have field.s. gpus"),
        (b"trainingService: {platform: remote}", "machine_list is not set"),
        (b"trainingService: {platform: local, trialGpuNumber: -1}", "a value is out of range"),
        (b"trainingService: [", "is not YAML"),
        (b"trainingService: \xff", "UTF-8"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_bad_files_are_one_line(tmp_path, content, message):
    file = tmp_path / "cluster.yml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_service(str(file))
    assert str(error.value).startswith(f"--training-service {file}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "message"), [("none.yml", "No such file"), (".", "is a folder")])
def test_files_that_cannot_be_read(tmp_path, name, message):
    with pytest.raises(UserError, match=f"--training-service .*{message}"):
        read_service(str(tmp_path / name))


def test_assignments_are_quoted(monkeypatch):
    for name in ("HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NASTRANSFER_DATA", "/my data")
    assert assignments({"OMP_NUM_THREADS": "2"}) == "NASTRANSFER_DATA='/my data' OMP_NUM_THREADS=2"
    monkeypatch.setenv("HF_HOME", "cache")  # a trial has a working directory of its own
    assert assignments({}) == f"NASTRANSFER_DATA='/my data' HF_HOME={Path.cwd() / 'cache'}"
