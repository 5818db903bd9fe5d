"""Searches, trainings and evaluations on images that must not meet."""

import pytest

from nastransfer_nni.study.disjoint import require_disjoint
from search_spaces.errors import UserError

from .test_design import study

PARTS = {"train_split": "train[400:700]", "val_split": "train[700:]+test"}


def parts(pool="digits@split=train[:400]", **transfer):
    return study(sources=[pool], transfer=PARTS | transfer, source_training=False, disjoint=True)


def test_disjoint_parts_are_accepted():
    require_disjoint(parts())


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            parts("digits"),
            r"searches on digits train and training on digits train\[400:700\] share 300 images",
        ),
        (parts("digits@split=test"), r"searches on digits test and evaluation on .* share 360 images"),
        (
            parts(train_split="train[400:800]"),
            r"training on .* and evaluation on .* share 100 images of digits",
        ),
        (parts(train_split="train[399:700]"), r"searches on digits train\[:400\] and training .* share 1 im"),
    ],
)
def test_shared_images_are_refused_in_one_line(made, message):
    with pytest.raises(UserError, match=message) as error:
        require_disjoint(made)
    assert "\n" not in str(error.value)
