"""The training and the evaluation part of a target, ready to iterate over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol as Interface

import numpy as np
from torch import Tensor

from nastransfer_nni.data import loading, splits
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batches import BatchLoader
from nastransfer_nni.data.imageset import ImageSet
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.errors import UserError
from nastransfer_nni.training.distributed import World
from nastransfer_nni.training.images import ImageBatches
from nastransfer_nni.training.protocols import Protocol

_log = logging.getLogger(__name__)


class Batches(Interface):
    """What the training loop asks of a loader."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and the batch that it starts with."""

    def rows(self, number: int) -> list[int]:
        """The rows in the set of the images of one batch of the epoch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Target:
    """A target's two parts as image sets.

    Attributes:
        train: images to train on.
        validation: images to evaluate on; its labels number the classes of `train`.
        pixels: side of the images that the network sees.
    """

    train: ImageSet
    validation: ImageSet
    pixels: int

    @property
    def num_classes(self) -> int:
        """Size of the network's output."""
        return len(self.train.classes)


@dataclass(frozen=True)
class Loaders:
    """A target's two parts in batches.

    Attributes:
        train: shuffled, augmented batches; `protocol.grad_accum_steps` of them make an optimizer's step.
        validation: every image once.
        train_set: the set whose rows `train` counts, where there is one.
    """

    train: Batches
    validation: Batches
    train_set: ImageSet | None = field(default=None, repr=False)

    def describe(self, number: int, limit: int = 3) -> str:
        """Name some of the images of one training batch of the epoch."""
        rows = self.train.rows(number)
        if self.train_set is None:
            return f"rows {', '.join(map(str, rows[:limit]))}, ..."
        return ", ".join(self.train_set.describe(row) for row in rows[:limit]) + ", ..."

    @property
    def unreadable(self) -> list[str]:
        """Names of the images that could not be decoded so far."""
        return [name for part in (self.train, self.validation) for name in getattr(part, "unreadable", ())]


def open_target(
    name: str,
    protocol: Protocol,
    *,
    train_split: str = "train",
    val_split: str = "",
    val_share: float = 0.0,
    seed: int = 0,
) -> Target:
    """Open a target by name.

    Args:
        name: as `--target` takes it.
        protocol: says the size of the images.
        train_split: the part to train on.
        val_split: the part to evaluate on; by default `test` where it has labels, else `validation`.
        val_share: hold this share of each class of the training part out instead.
        seed: of what is held out.

    Raises:
        UserError: nothing to evaluate on, images of many sizes and none asked for, or classes in the
            evaluation part that the training part does not have.
    """
    train = loading.load(name, train_split)
    if val_share:
        kept, held_out = splits.split(train.labels, (1 - val_share, val_share), seed)
        train, validation = train.select(kept), train.select(held_out)
    else:
        there = [split for split in loading.splits(name) if split != train_split]
        if not val_split and not there:
            raise UserError(
                f"{name} has no part to evaluate on: --val-share 0.2 holds out a fifth of its images"
            )
        validation = _aligned(loading.load(name, val_split or there[-1]), train)
    pixels = protocol.img_size or max(train.pixels or (0,))
    if not pixels:
        raise UserError(f"{name} has images of many sizes: --img-size says what they are brought to, as 224")
    if len(validation.labels) and (lacking := len(train.classes) - len(np.unique(validation.labels))):
        _log.warning("%s: %d of %d classes have no image to evaluate on", name, lacking, len(train.classes))
    return Target(train, validation, pixels)


def _aligned(validation: ImageSet, train: ImageSet) -> ImageSet:
    """The evaluation part with labels that number the classes of the training part."""
    if validation.classes == train.classes:
        return validation
    number = {name: label for label, name in enumerate(train.classes)}
    strangers = [name for name in validation.classes if name not in number]
    if strangers:
        raise UserError(
            f"the {validation.split} part of {train.name} has classes that its {train.split} part lacks: "
            f"{', '.join(strangers[:3])}"
        )
    new = np.array([number[name] for name in validation.classes], dtype=np.int64)
    return replace(validation, classes=train.classes, labels=new[validation.labels])


def loaders(
    target: Target,
    protocol: Protocol,
    *,
    seed: int,
    world: World,
    workers: int = 0,
    on_bad_image: str = "skip",
) -> Loaders:
    """Batches of a target: from memory for images up to 64 px, through worker processes above.

    Raises:
        UserError: a batch that the processes cannot share evenly, or that the training part cannot fill.
    """
    parts = world.size * protocol.grad_accum_steps
    if protocol.batch_size % parts:
        raise UserError(
            f"--batch-size {protocol.batch_size} cannot be shared evenly by {world.size} processes with "
            f"--grad-accum-steps {protocol.grad_accum_steps}"
        )
    if len(target.train) < protocol.batch_size:
        raise UserError(
            f"--batch-size {protocol.batch_size} is more than the {len(target.train)} images to train on"
        )
    batch_size = protocol.batch_size // parts
    size = (target.pixels, target.pixels)
    source, train_set = target.train.source, target.train
    if protocol.aa or protocol.reprob or protocol.vflip or not InMemoryImages.fits(train_set, size):

        def decoded(images: ImageSet, batch_size: int, is_training: bool) -> ImageBatches:
            return ImageBatches(
                images,
                protocol,
                target.pixels,
                batch_size,
                is_training=is_training,
                seed=seed,
                workers=workers,
                world=world,
                on_bad_image=on_bad_image,
            )

        return Loaders(
            decoded(train_set, batch_size, True), decoded(target.validation, 2 * batch_size, False), train_set
        )

    def batches(
        images: InMemoryImages, batch_size: int, augmentation: Augmentation, shuffle: bool
    ) -> BatchLoader:
        return BatchLoader(
            images,
            batch_size,
            augmentation,
            seed=seed,
            shuffle=shuffle,
            drop_last=shuffle,
            device=world.device,
            rank=world.rank,
            world_size=world.size,
        )

    brightness, contrast, saturation, hue = (*protocol.color_jitter, 0.0, 0.0, 0.0, 0.0)[:4]
    augmentation = replace(
        Augmentation.standard(source, protocol.cutout, target.pixels),
        jitter=(brightness, contrast, saturation, hue),
    )
    train = InMemoryImages.of(train_set, size, on_bad_image)
    validation = InMemoryImages.of(target.validation, size, on_bad_image)
    return Loaders(
        batches(train, batch_size, augmentation, shuffle=True),
        batches(validation, max(2 * batch_size, 256), Augmentation.none(source), shuffle=False),
        train_set if len(train) == len(train_set) else None,
    )
