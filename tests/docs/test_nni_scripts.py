"""The scripts of docs/nni.md run as they stand, each in an NNI experiment of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "nni.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
PRINTED = {
    "SupernetEvaluator": r"^Genotype\(normal=",
    "strategy import Random": r"'normal/op_2_0': .*'lr': 0\.",
    "hub": r"'width': 16",
    "label_prefix": r"^torch.Size\(\[2, 10\]\)",
}


def test_every_script_of_the_page_is_run_by_a_test():
    assert len(SCRIPTS) == len(PRINTED)
    assert all(sum(word in script for script in SCRIPTS) == 1 for word in PRINTED)


@pytest.mark.slow
@pytest.mark.parametrize("word", PRINTED)
def test_a_script_of_the_page_runs(word, tmp_path):
    (script,) = (script for script in SCRIPTS if word in script)
    (tmp_path / "mine.py").write_text(script)
    ran = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(PAGE.parents[1])},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(PRINTED[word], ran.stdout, re.MULTILINE), ran.stdout
