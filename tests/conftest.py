import os
from pathlib import Path

import pytest
from hypothesis import settings

# Triton reads it when it is imported: without a GPU its kernels are computed by NumPy.
os.environ.setdefault("TRITON_INTERPRET", "0" if Path("/dev/nvidiactl").exists() else "1")

# One run tries the same examples as the next, so that a change fails for what it changed alone. New ones are
# drawn by HYPOTHESIS_PROFILE=random.
settings.register_profile("same", derandomize=True)
settings.register_profile("random", derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of this run of the tests, which its processes share: loops are compiled once."""
    own = tmp_path_factory.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    monkeypatch.setenv("NASTRANSFER_CACHE", str(run / "cache"))


@pytest.fixture
def real_data():
    """The folder of real data; a test that needs it is skipped without."""
    named = os.environ.get("NASTRANSFER_DATA")
    if not named:
        pytest.skip("NASTRANSFER_DATA is not set: no real data here")
    return Path(named)
