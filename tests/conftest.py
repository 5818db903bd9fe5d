import os
from pathlib import Path

import pytest
from hypothesis import settings

# One run tries the same examples as the next, so that a change fails for what it changed alone. New ones are
# drawn by HYPOTHESIS_PROFILE=random.
settings.register_profile("same", derandomize=True)
settings.register_profile("random", derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


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
