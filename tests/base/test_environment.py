import os

import pytest

from nastransfer_nni.base.environment import available_cores, changed_environment


def test_variables_are_restored(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    monkeypatch.delenv("THREE", raising=False)
    with pytest.raises(RuntimeError), changed_environment({"ONE": None, "TWO": "22", "THREE": "3"}):
        assert "ONE" not in os.environ
        assert (os.environ["TWO"], os.environ["THREE"]) == ("22", "3")
        raise RuntimeError
    assert (os.environ["ONE"], os.environ["TWO"]) == ("1", "2")
    assert "THREE" not in os.environ


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7}, raising=False)
    assert available_cores() == 3
