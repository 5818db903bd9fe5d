"""The training and the evaluation part of a target, ready to iterate over."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from torch import Tensor

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import hashing, loading, splits
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.decoding_loader import ImageBatches
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.sources import Source
from nastransfer_nni.training.recipes import Recipe
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)


class Batches(Protocol):
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
        train: shuffled, augmented batches; `recipe.grad_accum_steps` of them make an optimizer's step.
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
    name: Source | str,
    recipe: Recipe,
    *,
    train_split: str = "train",
    val_split: str = "",
    val_share: float = 0.0,
    seed: int = 0,
) -> Target:
    """Open a target by name.

    Args:
        name: as `--target` takes it.
        recipe: says the size of the images.
        train_split: the part to train on.
        val_split: the part to evaluate on; by default `test` where it has labels, else `validation`.
        val_share: hold this share of each class of the training part out instead.
        seed: of what is held out.

    Raises:
        UserError: nothing to evaluate on, images of many sizes and none asked for, or classes in the
            evaluation part that the training part does not have.
    """
    train = loading.load(name, train_split)
    validation = part_to_evaluate(name, split=val_split, train_split=train_split, share=val_share, seed=seed)
    if val_share:
        train = train.select(_share(train, val_share, seed)[0])
    train, validation = _here(train), _here(aligned(validation, train.classes))
    pixels = recipe.img_size or max(train.pixels or (0,))
    if not pixels:
        raise UserError(f"{name} has images of many sizes: --img-size says what they are brought to, as 224")
    if len(validation.labels) and (lacking := len(train.classes) - len(np.unique(validation.labels))):
        _log.warning("%s: %d of %d classes have no image to evaluate on", name, lacking, len(train.classes))
    return Target(train, validation, pixels)


def _here(images: ImageSet) -> ImageSet:
    """The images on this machine; those of a streamed set are fetched."""
    try:
        return images.fetched()
    except OSError as error:
        raise UserError(f"cannot bring the images of {images.name} here: {error.strerror or error}") from None


def part_to_evaluate(
    name: Source | str, *, split: str, train_split: str, share: float, seed: int
) -> ImageSet:
    """The part of a target that training evaluates on.

    Args:
        name: the target.
        split: its part; empty for `test` where it has labels, else `validation`.
        train_split: the part that training is on.
        share: hold this share of that part out instead.
        seed: of what is held out.

    Raises:
        UserError: there is none.
    """
    if share:
        train = loading.load(name, train_split)
        return train.select(_share(train, share, seed)[1])
    there = [part for part in loading.splits(name) if part != train_split]
    if not split and not there:
        raise UserError(f"{name} has no part to evaluate on: --val-share 0.2 holds out a fifth of its images")
    return loading.load(name, split or there[-1])


def _share(train: ImageSet, share: float, seed: int) -> list[hashing.Rows]:
    return splits.split(train.labels, (1 - share, share), seed)


def aligned(images: ImageSet, classes: Sequence[str]) -> ImageSet:
    """The images with labels that number `classes`, of which some may have no image.

    Raises:
        UserError: an image's class is not among `classes`.
    """
    if images.classes == tuple(classes):
        return images
    number = {name: label for label, name in enumerate(classes)}
    strangers = [name for name, count in images.counts.items() if count and name not in number]
    if strangers:
        raise UserError(
            f"the {images.split} part of {images.name} has classes that the network was not trained on: "
            f"{', '.join(strangers[:3])}{', ...' if len(strangers) > 3 else ''}"
        )
    new = np.array([number.get(name, -1) for name in images.classes], dtype=np.int64)
    return replace(images, classes=tuple(classes), labels=new[images.labels])


def share_of_batch(target: Target, recipe: Recipe, processes: int) -> int:
    """Images that one process computes at once.

    Raises:
        UserError: a batch that the processes cannot share evenly, or that the training part cannot fill.
    """
    parts = processes * recipe.grad_accum_steps
    if recipe.batch_size % parts:
        raise UserError(
            f"--batch-size {recipe.batch_size} cannot be shared evenly by {processes} processes with "
            f"--grad-accum-steps {recipe.grad_accum_steps}"
        )
    if len(target.train) < recipe.batch_size:
        raise UserError(
            f"--batch-size {recipe.batch_size} is more than the {len(target.train)} images to train on"
        )
    share = recipe.batch_size // parts
    if recipe.is_mixed and share % 2:
        raise UserError(f"mixup and cutmix need an even batch in every process, not {share} images")
    return share


def loaders(
    target: Target,
    recipe: Recipe,
    *,
    seed: int,
    processes: DistributedContext,
    workers: int = 0,
    on_bad_image: str = "skip",
) -> Loaders:
    """Batches of a target: from memory for images up to 64 px, through worker processes above.

    Raises:
        UserError: a batch that the processes cannot share evenly, or that the training part cannot fill.
    """
    batch_size = share_of_batch(target, recipe, processes.world_size)
    validation = evaluation_batches(
        target.validation,
        recipe,
        target.pixels,
        2 * batch_size,
        processes=processes,
        workers=workers,
        on_bad_image=on_bad_image,
    )
    size = (target.pixels, target.pixels)
    if _is_per_image(recipe) or not InMemoryImages.fits(target.train, size):
        decoded = ImageBatches(
            target.train,
            recipe.photo_transform,
            target.pixels,
            batch_size,
            is_training=True,
            seed=seed,
            workers=workers,
            processes=processes,
            on_bad_image=on_bad_image,
        )
        return Loaders(decoded, validation, target.train)
    images = InMemoryImages.of(target.train, size, on_bad_image)
    brightness, contrast, saturation, hue = (*recipe.color_jitter, 0.0, 0.0, 0.0, 0.0)[:4]
    augmentation = replace(
        Augmentation.standard(target.train.source, recipe.cutout, target.pixels),
        jitter=(brightness, contrast, saturation, hue),
    )
    batches = BatchLoader(
        images,
        batch_size,
        augmentation,
        seed=seed,
        drop_last=True,
        device=processes.device,
        rank=processes.rank,
        world_size=processes.world_size,
    )
    return Loaders(batches, validation, target.train if len(images) == len(target.train) else None)


def _is_per_image(recipe: Recipe) -> bool:
    """Whether the protocol augments in ways that only timm's transforms for single images have."""
    return bool(recipe.aa or recipe.reprob or recipe.vflip)


def evaluation_batches(
    images: ImageSet,
    recipe: Recipe,
    pixels: int,
    batch_size: int,
    *,
    processes: DistributedContext,
    workers: int = 0,
    on_bad_image: str = "skip",
) -> Batches:
    """Every image once, as the protocol brings it to `pixels` for evaluation; shared out to the processes."""
    size = (pixels, pixels)
    if InMemoryImages.fits(images, size) and (images.pixels == size or not _is_per_image(recipe)):
        return BatchLoader(
            InMemoryImages.of(images, size, on_bad_image),
            max(batch_size, 256),
            Augmentation.none(images.source),
            shuffle=False,
            device=processes.device,
            rank=processes.rank,
            world_size=processes.world_size,
        )
    return ImageBatches(
        images,
        recipe.photo_transform,
        pixels,
        batch_size,
        is_training=False,
        workers=workers,
        processes=processes,
        on_bad_image=on_bad_image,
    )
