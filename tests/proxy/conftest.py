import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are fastest in one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
