"""A search starts quickly: what its first step does not need is imported later, or not at all."""

import subprocess
import sys

import pytest

WATCH = """
import os, sys
from nastransfer_nni.base import cli
from nastransfer_nni.search.__main__ import COMMAND
from nastransfer_nni.search.recorder import SearchRecorder

def first_step(*_):
    print([name for name in ("timm", "sklearn", "datasets") if name in sys.modules], flush=True)
    os._exit(0)

SearchRecorder.advance = first_step
cli.main("search", COMMAND, sys.argv[1:])
"""


@pytest.mark.slow
def test_slow_packages_wait_until_after_the_first_step(tmp_path):
    """timm takes a second of processor time, scikit-learn half of one; what NNI imports cannot wait."""
    flags = ["--width", "1", "--layers", "3", "--proxy", "images:0.1", "--device", "cpu", "--out", "run"]
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, *flags], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"
