import contextlib
import json
import os
import socket

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


class Retrying(manager.RetryStartMixin, Slow):
    pass


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(manager, "PAUSE_SECONDS", 0.0)


def test_late_manager_is_started_again_under_a_new_name(no_pause, capsys):
    experiment = Retrying(failures=manager.MAX_ATTEMPTS - 1)
    experiment._start_nni_manager(8080)
    assert len(set(experiment.started)) == manager.MAX_ATTEMPTS, "a failed start's folder stays as it is"
    assert capsys.readouterr().err.count("did not start") == manager.MAX_ATTEMPTS - 1


def test_manager_that_never_starts_is_one_line(no_pause, capsys):
    with pytest.raises(UserError, match="NNI's manager did not start") as caught:
        Retrying(failures=99)._start_nni_manager(8080)
    assert "\n" not in str(caught.value)
    assert "JSONDecodeError: Expecting value" in capsys.readouterr().err


@pytest.mark.parametrize("before", [None, "--trace-warnings"])
def test_binding_to_localhost_restores_the_environment(monkeypatch, before):
    monkeypatch.delenv("NODE_OPTIONS", raising=False)
    if before:
        monkeypatch.setenv("NODE_OPTIONS", before)
    with contextlib.suppress(RuntimeError), manager.bind_to_localhost(True):
        assert os.environ["NODE_OPTIONS"].endswith("loopback.cjs")
        assert os.environ["NODE_OPTIONS"].startswith(before or "--require=")
        raise RuntimeError
    assert os.environ.get("NODE_OPTIONS") == before
    with manager.bind_to_localhost(False):
        assert os.environ.get("NODE_OPTIONS") == before


def test_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port} is in use"):
            manager.announce(port)


def test_address_of_the_web_ui_is_printed(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    manager.announce(port)
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().err
