"""Sizes of image sets: exact where the set is on this machine, else the published ones."""

from __future__ import annotations

from dataclasses import dataclass

from nastransfer_nni.data import loading, slices
from nastransfer_nni.data.slices import SPLITS
from nastransfer_nni.data.sources import Source, local_folder
from nastransfer_nni.training.target import part_to_evaluate
from nastransfer_nni.transfer.config import TransferConfig


@dataclass(frozen=True)
class SetSize:
    """Size of one split of an image set.

    Attributes:
        images: number of images.
        classes: number of classes.
        img_size: height and width in px; None where images differ in size.
    """

    images: int
    classes: int
    img_size: int | None


class SetSizes:
    """Looks sizes up; a set is opened only if it is on this machine or nothing is known of it."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, str], SetSize] = {}
        self._evaluated: dict[tuple[str, str, str, float], int] = {}

    def of(self, source: Source, split: str) -> SetSize:
        """Size of a split, or of slices of splits.

        Raises:
            UserError: the set has to be opened and cannot be.
        """
        key = (source.text, split)
        if key not in self._sizes:
            self._sizes[key] = _known(source, split) or _opened(source, split)
        return self._sizes[key]

    def evaluated(self, config: TransferConfig) -> int:
        """Number of images that a transfer evaluates on.

        Raises:
            UserError: the target has no split to evaluate on, or cannot be opened.
        """
        target, share = config.target, config.val_share
        key = (target.text, config.val_split, config.train_split, share)
        if key not in self._evaluated:
            self._evaluated[key] = self._count(config)
        return self._evaluated[key]

    def _count(self, config: TransferConfig) -> int:
        target, share = config.target, config.val_share
        if _is_known(target):
            if share:
                return round(self.of(target, config.train_split).images * share)
            others = [name for name in SPLITS if name in target.images and name != config.train_split]
            split = config.val_split or (others[-1] if others else "")
            if split and (images := slices.size(split, target.images)) is not None:
                return images
        opened = part_to_evaluate(
            target, split=config.val_split, train_split=config.train_split, share=share, seed=0
        )
        return len(opened)


def _is_known(source: Source) -> bool:
    """Whether the published sizes are those that jobs will find."""
    return bool(source.images and source.classes) and local_folder(source) is None


def _known(source: Source, split: str) -> SetSize | None:
    named = source.split if split == "train" and source.split else split
    images = slices.size(named, source.images) if _is_known(source) else None
    if images is None:
        return None
    assert source.classes is not None
    return SetSize(images, source.classes, max(source.pixels) if source.pixels else None)


def _opened(source: Source, split: str) -> SetSize:
    images = loading.load(source, split)
    return SetSize(len(images), len(images.classes), max(images.pixels) if images.pixels else None)
