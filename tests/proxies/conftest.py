import os
from pathlib import Path

import pytest
import torch


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


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are fastest in one thread, above all beside other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
