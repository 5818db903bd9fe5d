"""The compiled loops as a library: its compiler, the message where there is none, and observers."""

import subprocess

import pytest

from search_spaces.cells.compiled import kernels
from tests.search_spaces.test_fast_cell import assert_same, cells, everything, inputs


@pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
def test_an_observer_gets_a_call_before_and_after_each_loop():
    _, fast = cells("reduce", 4)
    told = []
    observer = kernels.Observer(lambda loop, *rest: told.append((loop.decode(), rest[-1])))
    kernels.loops().observe(observer)
    try:
        everything(fast, *inputs(2, 6, 6))
    finally:
        kernels.loops().observe(kernels.Observer())
    assert [loop for loop, _ in told[::2]] == [loop for loop, _ in told[1::2]]
    assert [has_ended for _, has_ended in told] == [0, 1] * (len(told) // 2)
    # Nodes and states, skips that reduce, and the preprocessing of both inputs.
    expected = {"combine": 4 + 5 + 2, "dots": 5 + 2 + 2, "pool": 5, "pool_backward": 5, "product": 2}
    names = [loop for loop, _ in told[::2]]
    assert {name: names.count(name) for name in expected} == expected
    count = len(told)
    everything(fast, *inputs(2, 6, 6))
    assert len(told) == count, "a removed observer gets no calls"


def test_without_a_compiler_a_message_is_logged_and_torch_computes(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    kernels.library.cache_clear()
    try:
        plain, fast = cells("normal", 4)
        given = inputs(2, 4, 4)
        assert_same(everything(fast, *given), everything(plain, *given))
        assert "no compiled search-time cell" in caplog.text
    finally:
        kernels.library.cache_clear()


def test_the_message_names_the_compilers_error(monkeypatch, caplog):
    said = b"In file included from kernels.cpp:3:\nvectors.h:1: fatal error: omp.h: no such file\n  1 |\n"
    error = subprocess.CalledProcessError(1, "c++", stderr=said)
    monkeypatch.setattr(kernels, "_build", lambda: (_ for _ in ()).throw(error))
    kernels.library.cache_clear()
    try:
        assert kernels.library() is None
        assert caplog.messages[0].endswith("vectors.h:1: fatal error: omp.h: no such file")
    finally:
        kernels.library.cache_clear()


def test_the_compiler_may_be_a_command_with_arguments(monkeypatch):
    commands = []

    def run(*command):
        commands.append(command)
        raise FileNotFoundError

    monkeypatch.setattr(kernels, "_run", run)
    monkeypatch.setenv("CXX", "ccache g++ -m64")
    with pytest.raises(FileNotFoundError):
        kernels._build()
    assert commands[0][:3] == ("ccache", "g++", "-m64")
