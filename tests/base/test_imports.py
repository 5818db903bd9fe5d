"""Imports without garbage collection."""

import gc
import subprocess
import sys

import pytest

from nastransfer_nni.base.imports import without_collection

IN_A_PROCESS = """
import gc, sys
sys.argv[0] = sys.argv[1]
from nastransfer_nni.base.imports import without_collection
with without_collection():
    pass
print(gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_collection_is_as_before_even_after_an_error(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), without_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(("program", "stays"), [("-m", True), ("nastransfer", True), ("script.py", False)])
def test_only_commands_stop_collecting_for_good(program, stays):
    """What a notebook has created must be collected once nothing refers to it."""
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(stays)
