import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published() -> Path:
    """The raw runs of Yang et al. (ICLR 2020)."""
    folder = os.environ.get("NASTRANSFER_DATA")
    path = Path(folder or "") / "nas_evaluation" / "runs.csv"
    if not folder or not path.exists():
        pytest.skip("needs nas_evaluation/runs.csv in NASTRANSFER_DATA")
    return path
