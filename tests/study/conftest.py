import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks of these sizes run fastest on one core, and the others are not kept waiting."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
