import json

import pytest

from nastransfer_nni.nni_engine import manager
from search_spaces.errors import UserError


class Slow:
    """An experiment whose manager answers with a page instead of JSON until it has come up."""

    def __init__(self, failures):
        self.id, self.failures, self.started = "first", failures, []

    def _start_nni_manager(self, port):
        self.started.append(self.id)
        if len(self.started) <= self.failures:
            json.loads("<html>")


class Patient(manager.PatientStart, Slow):
    pass


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(manager, "PAUSE", 0.0)


def test_a_manager_that_comes_up_late_is_started_again_under_a_new_name(capsys):
    experiment = Patient(failures=manager.STARTS - 1)
    experiment._start_nni_manager(8080)
    assert len(set(experiment.started)) == manager.STARTS, "a failed start's folder stays as it is"
    assert capsys.readouterr().err.count("did not start") == manager.STARTS - 1


def test_one_that_never_does_is_an_error_of_one_line(capsys):
    with pytest.raises(UserError, match="NNI's manager did not start") as caught:
        Patient(failures=99)._start_nni_manager(8080)
    assert "\n" not in str(caught.value)
    assert "JSONDecodeError: Expecting value" in capsys.readouterr().err
