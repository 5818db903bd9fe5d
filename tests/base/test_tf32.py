"""TensorFloat-32 is allowed or forbidden for a while."""

import pytest
import torch

from nastransfer_nni.base.tf32 import tf32


def flags():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("allowed", [True, False])
def test_it_is_as_before_after_the_block(allowed):
    before = flags()
    with pytest.raises(KeyError), tf32(allowed):
        assert flags() == (allowed, allowed)
        raise KeyError
    assert flags() == before


def test_none_leaves_it():
    before = flags()
    with tf32(None):
        assert flags() == before
