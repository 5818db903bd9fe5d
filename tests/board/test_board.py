"""TensorBoard over runs: short names say what tells them apart, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import Popen

import pytest

from nastransfer_nni.board.config import BoardConfig
from nastransfer_nni.board.names import short_names
from nastransfer_nni.board.run import link, show
from nastransfer_nni.tracking.run import Run
from search_spaces.errors import UserError


def make(folder, command, **options):
    with Run.open(command, names=[], options=options, out=folder) as run:
        run.complete({})
    return folder


def search(root, strategy, proxy, seed, source="digits"):
    folder = root / f"searches/{strategy}-{proxy}-{seed}-long-name".replace(":", "_")
    return make(folder, "search", strategy=strategy, source=source, proxy=proxy, seed=seed)


@pytest.fixture
def study(tmp_path):
    """Searches by three strategies, each with its transfer, and one of a published cell."""
    evolution = "evolution:evaluate=supernet,population=4"
    searches = [
        search(tmp_path, evolution, "all", 0),
        search(tmp_path, "darts:alpha_lr=0.02,order=2", "images:0.5", 0),
        search(tmp_path, "darts:alpha_lr=0.02,order=1", "images:0.5", 1),
    ]
    cells = [str(found / "architecture.json") for found in searches]
    return tmp_path, searches + [
        make(tmp_path / f"transfers/{number}", "transfer", arch=arch, target="cifar10", seed=99)
        for number, arch in enumerate([*cells, "DARTS_V2", "DARTS_V2"])
    ]


def test_names_have_only_what_differs(study):
    assert list(short_names(study[1])) == [
        "evolution all seed 0",
        "darts order=2 images:0.5 seed 0",
        "darts order=1 images:0.5 seed 1",
        "evolution all seed 0 to cifar10",
        "darts order=2 images:0.5 seed 0 to cifar10",
        "darts order=1 images:0.5 seed 1 to cifar10",
        "DARTS_V2 to cifar10 #1",
        "DARTS_V2 to cifar10 #2",
    ]


def test_links_keep_their_names_when_runs_are_added(study, tmp_path):
    root, runs = study
    links = tmp_path / "links"
    links.mkdir()
    link(root, links)
    before = {path.name: path.readlink() for path in links.iterdir()}
    assert sorted(before.values()) == sorted(run / "tensorboard" for run in runs)
    added = search(root, "enas", "all", 0, source="cifar10")  # now names have their sources
    link(root, links)
    after = {path.name: path.readlink() for path in links.iterdir()}
    assert after == before | {"enas cifar10 all seed 0": added / "tensorboard"}


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no runs"):
        show(BoardConfig(folder=os.fspath(tmp_path)))


def test_sigterm_ends_tensorboard_and_removes_the_links(study, tmp_path, monkeypatch):
    """A stand-in for TensorBoard: it signals the command that has started it, and would run on."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    started = []

    def start(command):
        links = Path(command[command.index("--logdir") + 1])
        started.append(len(list(links.iterdir())))
        code = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)"
        started.append(Popen([sys.executable, "-c", code]))
        return started[1]

    monkeypatch.setattr(subprocess, "Popen", start)
    show(BoardConfig(folder=str(study[0]), port=free_port()))
    assert started[0] == len(study[1]) and started[1].returncode == -signal.SIGTERM
    assert not list(tmp_path.glob("nastransfer-tensorboard-*"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_run_whose_name_is_taken_by_an_earlier_one_is_shown_too(tmp_path):
    """The options that all runs of a strategy share are left out, until one has others."""
    links = tmp_path / "links"
    links.mkdir()
    search(tmp_path / "runs", "darts:order=2", "images:0.5", 0)
    search(tmp_path / "runs", "random", "images:0.5", 0)
    link(tmp_path / "runs", links)
    search(tmp_path / "runs", "darts", "images:0.5", 0)
    link(tmp_path / "runs", links)
    link(tmp_path / "runs", links)
    assert len({path.readlink() for path in links.iterdir()}) == 3
    assert len([*links.iterdir()]) == 3
