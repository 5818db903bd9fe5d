import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NASTRANSFER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def real_data():
    """The folder of real data; a test that needs it is skipped without."""
    named = os.environ.get("NASTRANSFER_DATA")
    if not named:
        pytest.skip("NASTRANSFER_DATA is not set: no real data here")
    return Path(named)
