"""The training and the evaluation split of a target, as image sets and as batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

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
from strategies.interfaces import Batches

_log = logging.getLogger(__name__)

UPSAMPLING = 4
"""Factor up to which images are enlarged without a warning."""


class TrainingBatches(Batches, Protocol):
    """Batches that training can resume within an epoch, and whose images it can name."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and its first batch."""

    def rows(self, number: int) -> list[int]:
        """Rows, in the image set, of the images in batch `number` of the epoch."""


@dataclass(frozen=True)
class Target:
    """The two splits of a target as image sets.

    Attributes:
        train: images to train on.
        validation: images to evaluate on; its labels refer to the classes of `train`.
        pixels: height and width of the images that the network sees.
    """

    train: ImageSet
    validation: ImageSet
    pixels: int

    @property
    def num_classes(self) -> int:
        """Number of classes, which is the size of the network's output."""
        return len(self.train.classes)


@dataclass(frozen=True)
class Loaders:
    """The two splits of a target as batches.

    Attributes:
        train: shuffled, augmented batches; `recipe.grad_accum_steps` of them make one optimizer step.
        validation: batches that contain every image once.
        train_set: the image set that `train.rows` refers to, where images are to be named.
    """

    train: TrainingBatches
    validation: Batches
    train_set: ImageSet | None = field(default=None, repr=False)

    def describe(self, number: int, limit: int = 3) -> str:
        """Names of the first `limit` images in training batch `number` of the epoch."""
        rows = self.train.rows(number)
        if self.train_set is None:
            return f"rows {', '.join(map(str, rows[:limit]))}, ..."
        return ", ".join(self.train_set.describe(row) for row in rows[:limit]) + ", ..."

    @property
    def unreadable(self) -> list[str]:
        """Names of the images that could not be decoded so far."""
        return [name for part in (self.train, self.validation) for name in getattr(part, "unreadable", ())]


def open_target(
    source: Source,
    recipe: Recipe,
    *,
    train_split: str = "train",
    val_split: str = "",
    val_share: float = 0.0,
    seed: int = 0,
) -> Target:
    """Open the two splits of a target.

    Args:
        source: the target.
        recipe: how to train; it may set the size of the images.
        train_split: split to train on.
        val_split: split to evaluate on; empty: `test` where it has labels, else `validation`.
        val_share: fraction of each class of the training split that is held out and evaluated on instead; 0:
            none.
        seed: random seed of what is held out.

    Raises:
        UserError: there is nothing to evaluate on, the images have many sizes and the recipe sets none, or
            the evaluation split has classes that the training split does not have.
    """
    train = loading.load(source, train_split)
    validation = part_to_evaluate(
        source, split=val_split, train_split=train_split, share=val_share, seed=seed
    )
    if val_share:
        train = train.select(_hold_out(train, val_share, seed)[0])
    train, validation = _fetched(train), _fetched(aligned(validation, train.classes))
    if len(train.classes) < 2:
        raise UserError(
            f"{source.text} has one class ({train.classes[0]}), so there is nothing to learn; is it the "
            "folder that holds a folder per class?"
        )
    train, validation = normalized(train, recipe), normalized(validation, recipe)
    pixels = recipe.img_size or max(train.pixels or (0,))
    largest = max(train.largest_pixels or (0,))
    if not pixels:
        raise UserError(
            f"{source.text} has images of many sizes, up to {largest} px: choose one, such as --img-size "
            f"{min(largest, 224) or 224}"
        )
    if largest and pixels > UPSAMPLING * largest:
        _log.warning(
            "%s: images of at most %d px are enlarged to %d px; --img-size %d trains on them as they are",
            source.text,
            largest,
            pixels,
            largest,
        )
    if len(validation) and (missing := len(train.classes) - len(np.unique(validation.labels))):
        _log.warning(
            "%s: %d of %d classes have no images to evaluate on", source.text, missing, len(train.classes)
        )
    return Target(train, validation, pixels)


def normalized(images: ImageSet, recipe: Recipe) -> ImageSet:
    """The images, to be normalized by the mean and standard deviation of the recipe where it has some."""
    source = images.source
    changed = replace(source, mean=recipe.mean or source.mean, std=recipe.std or source.std)
    return images if changed == source else replace(images, source=changed)


def _fetched(images: ImageSet) -> ImageSet:
    """The images on this machine; those of a streamed set are fetched."""
    try:
        return images.fetched()
    except OSError as error:
        raise UserError(f"cannot fetch the images of {images.name}: {error.strerror or error}") from None


def part_to_evaluate(source: Source, *, split: str, train_split: str, share: float, seed: int) -> ImageSet:
    """Open the images of a target that training evaluates on.

    Args:
        source: the target.
        split: split to evaluate on; empty: `test` where it has labels, else `validation`.
        train_split: split that training uses.
        share: fraction of each class of the training split that is held out and evaluated on instead; 0:
            none.
        seed: random seed of what is held out.

    Raises:
        UserError: the target has no such split, or none besides the one for training.
    """
    if share:
        train = loading.load(source, train_split)
        return train.select(_hold_out(train, share, seed)[1])
    others = [name for name in loading.splits(source) if name != train_split]
    if not split and not others:
        raise UserError(
            f"{source.text} has no split to evaluate on: --val-share 0.2 holds out a fifth of its images"
        )
    return loading.load(source, split or others[-1])


def _hold_out(train: ImageSet, share: float, seed: int) -> list[hashing.Rows]:
    """Rows of the images that stay for training and of those held out, int64 [n] each."""
    return splits.split(train.labels, (1 - share, share), seed)


def aligned(images: ImageSet, classes: Sequence[str]) -> ImageSet:
    """The images with labels that refer to `classes`, which may include classes without images.

    Raises:
        UserError: the class of an image is not among `classes`.
    """
    if images.classes == tuple(classes):
        return images
    label_of = {name: label for label, name in enumerate(classes)}
    unexpected = [name for name, count in images.counts.items() if count and name not in label_of]
    if unexpected:
        known = len(label_of.keys() & set(images.classes))
        raise UserError(
            f"the {images.split} split of {images.name} has classes that the network was not trained on: "
            f"{', '.join(unexpected[:3])}{', ...' if len(unexpected) > 3 else ''}; {known} of its "
            f"{len(images.classes)} classes are among the network's {len(classes)}"
        )
    new = np.array([label_of.get(name, -1) for name in images.classes], dtype=np.int64)
    return replace(images, classes=tuple(classes), labels=new[images.labels])


def share_of_batch(target: Target, recipe: Recipe, processes: int) -> int:
    """Images per micro-batch in each of `processes` processes.

    Raises:
        UserError: the processes cannot share a batch evenly, or the training split cannot fill one.
    """
    micro_batches = processes * recipe.grad_accum_steps
    if recipe.batch_size % micro_batches:
        raise UserError(
            f"--batch-size {recipe.batch_size} cannot be shared evenly by {processes} processes with "
            f"--grad-accum-steps {recipe.grad_accum_steps}"
        )
    if len(target.train) < recipe.batch_size:
        raise UserError(
            f"--batch-size {recipe.batch_size} is more than the {len(target.train)} images to train on"
        )
    share = recipe.batch_size // micro_batches
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
    """Batches of a target: of images in memory up to 64 px, of images decoded by data workers above.

    Args:
        target: the two splits.
        recipe: batch size and augmentation.
        seed: random seed of order and augmentation.
        processes: the processes that share the batches.
        workers: data workers per split; 0: images are decoded in this process.
        on_bad_image: `skip` or `stop` at images that cannot be decoded.

    Raises:
        UserError: the processes cannot share a batch evenly, the training split cannot fill one, or with
            `stop` an image in memory cannot be decoded.
    """
    batch_size = share_of_batch(target, recipe, processes.world_size)
    validation = evaluation_batches(
        target.validation,
        recipe,
        pixels=target.pixels,
        batch_size=2 * batch_size,
        processes=processes,
        workers=workers,
        on_bad_image=on_bad_image,
    )
    size = (target.pixels, target.pixels)
    if _is_per_image(recipe) or not InMemoryImages.fits(target.train, size):
        decoded = ImageBatches(
            target.train,
            photo_transform=recipe.photo_transform,
            pixels=target.pixels,
            batch_size=batch_size,
            is_training=True,
            seed=seed,
            workers=workers,
            processes=processes,
            on_bad_image=on_bad_image,
            drop_last=not _keeps_last(len(target.train), batch_size, recipe, processes),
            repeats=recipe.aug_repeats,
        )
        return Loaders(decoded, validation, target.train)
    images = InMemoryImages.of(target.train, size, on_bad_image)
    batches = BatchLoader(
        images,
        batch_size,
        _batch_augmentation(target, recipe),
        seed=seed,
        drop_last=not _keeps_last(len(images), batch_size, recipe, processes),
        repeats=recipe.aug_repeats,
        device=processes.device,
        rank=processes.rank,
        world_size=processes.world_size,
    )
    return Loaders(batches, validation, target.train if len(images) == len(target.train) else None)


def _batch_augmentation(target: Target, recipe: Recipe) -> Augmentation:
    """The augmentation of images in memory."""
    source = target.train.source
    if recipe.no_aug:
        return Augmentation.none(source)
    brightness, contrast, saturation, hue = (*recipe.color_jitter, 0.0, 0.0, 0.0, 0.0)[:4]
    return replace(
        Augmentation.standard(source, cutout=recipe.cutout, pixels=target.pixels),
        flip=recipe.photo_transform.flip_rate(source.mirrored),
        jitter=(brightness, contrast, saturation, hue),
    )


def _keeps_last(images: int, batch_size: int, recipe: Recipe, processes: DistributedContext) -> bool:
    """Whether an incomplete last batch is trained on: BatchNorm needs two images of it in each process."""
    return recipe.keeps_last and images // processes.world_size % batch_size != 1


def _is_per_image(recipe: Recipe) -> bool:
    """Whether the recipe augments in ways that only timm's transforms for single images offer."""
    return bool(recipe.aa or recipe.reprob or recipe.vflip) and not recipe.no_aug


def crops(images: ImageSet, recipe: Recipe, pixels: int) -> bool:
    """Whether evaluation resizes and crops each image; small ones stay whole, in memory.

    Args:
        images: images to evaluate on.
        recipe: whether images are transformed one by one.
        pixels: height and width of the images that the network sees.
    """
    size = (pixels, pixels)
    is_whole = images.pixels == size or not _is_per_image(recipe)
    return not (InMemoryImages.fits(images, size) and is_whole)


def evaluation_batches(
    images: ImageSet,
    recipe: Recipe,
    *,
    pixels: int,
    batch_size: int,
    processes: DistributedContext,
    workers: int = 0,
    on_bad_image: str = "skip",
    as_timm: bool = False,
) -> Batches:
    """Batches for evaluation, which contain every image once.

    Args:
        images: images to evaluate on.
        recipe: `crop_pct`, and whether images are transformed one by one.
        pixels: height and width of the images that the network sees.
        batch_size: images per batch, in this process; images in memory come in batches of at least 256.
        processes: the processes that share the images.
        workers: data workers; 0: images are decoded in this process.
        on_bad_image: `skip` or `stop` at images that cannot be decoded.
        as_timm: prepare images by timm's transforms whatever their size; else small ones are not cropped.
    """
    if not (as_timm or crops(images, recipe, pixels)):
        size = (pixels, pixels)
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
        photo_transform=replace(recipe.photo_transform, crops_small=as_timm),
        pixels=pixels,
        batch_size=batch_size,
        is_training=False,
        workers=workers,
        processes=processes,
        on_bad_image=on_bad_image,
    )
