"""A text is parsed once in a process, where it enters; from there on an object travels."""

import sys
from collections import Counter

import pytest

import strategies
from nastransfer_nni.architecture import file
from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS
from nastransfer_nni.data import sources
from nastransfer_nni.proxy import spec

PARSERS = {
    parser.__code__: f"{parser.__module__}.{parser.__name__}"
    for parser in (strategies.parse, spec.parse, sources.check, file.read)
}
QUICK = ["--epochs", "1", "--width", "2", "--layers", "3", "--batch-size", "64", "--device", "cpu"]


@pytest.fixture
def parsed():
    """How often each parser was called with each text."""
    counts = Counter()

    def watch(frame, event, _):
        if event == "call" and frame.f_code in PARSERS:
            text = frame.f_locals[frame.f_code.co_varnames[0]]
            counts[PARSERS[frame.f_code], text] += 1

    sys.setprofile(watch)
    yield counts
    sys.setprofile(None)


def run(*argv):
    with pytest.raises(SystemExit) as ended:
        cli.main("nastransfer", COMMANDS, argv)
    assert ended.value.code == 0


def test_search(parsed, tmp_path):
    proxy, strategy = "images:0.1", "random_ws:candidates=2,batches=1,finalists=1"
    run("search", *QUICK, "--proxy", proxy, "--strategy", strategy, "--out", str(tmp_path / "run"))
    assert parsed == {
        ("nastransfer_nni.data.sources.check", "digits"): 1,
        ("nastransfer_nni.proxy.spec.parse", proxy): 1,
        (f"{strategies.parse.__module__}.parse", strategy): 1,
    }


def test_search_that_trains_candidates(parsed, tmp_path):
    flags = ["--proxy", "images:0.1", "--strategy", "random:candidates=2", "--out", str(tmp_path / "run")]
    run("search", *QUICK, *flags)
    assert set(parsed.values()) == {1}


def test_transfer(parsed, tmp_path):
    run("transfer", "--arch", "DARTS_V2", *QUICK, "--out", str(tmp_path / "run"))
    assert parsed == {
        ("nastransfer_nni.data.sources.check", "digits"): 1,
        ("nastransfer_nni.architecture.file.read", "DARTS_V2"): 1,
    }


STUDY = """
name: once
strategies: [darts, "random_ws:candidates=2"]
sources: [digits]
proxies: ["classes:5", "images:0.5"]
random_cells: 3
targets: [digits]
"""


def test_study(parsed, tmp_path):
    path = tmp_path / "study.yml"
    path.write_text(STUDY)
    run("study", "status", str(path), "--out", str(tmp_path / "study"))
    assert max(parsed.values()) == 1, parsed
