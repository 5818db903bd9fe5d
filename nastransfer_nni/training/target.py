"""The training and the evaluation split of a target, as image sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nastransfer_nni.data import hashing, loading, splits
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.slices import SPLITS
from nastransfer_nni.data.sources import Source
from nastransfer_nni.training.recipes import Recipe
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)

UPSAMPLING = 4
"""Factor up to which images are enlarged without a warning."""


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


def open_target(
    source: Source,
    recipe: Recipe,
    *,
    train_split: str = "train",
    val_split: str = "",
    val_share: float = 0.0,
    train_images: int | None = None,
    seed: int = 0,
) -> Target:
    """Open the two splits of a target.

    Args:
        source: the target.
        recipe: how to train; it may set the size of the images.
        train_split: split to train on, or slices of splits.
        val_split: split to evaluate on, or slices; empty: `test` where it has labels, else `validation`.
        val_share: fraction of each class of the training split that is held out and evaluated on instead; 0:
            none.
        train_images: number of images to train on, of all classes in proportion; None: all.
        seed: random seed of what is held out, and of the images that training keeps.

    Raises:
        UserError: there is nothing to evaluate on, the images have many sizes and the recipe sets none, the
            evaluation split has classes that the training split does not have, or the two share images.
    """
    train = part_to_train(source, split=train_split, share=val_share, count=train_images, seed=seed)
    validation = part_to_evaluate(
        source, split=val_split, train_split=train_split, share=val_share, seed=seed
    )
    if not {train.split, validation.split} <= set(SPLITS):
        refuse_shared(train, validation, f"--train-split {train.split} and --val-split {validation.split}")
    train, validation = _fetched(train), _fetched(aligned(validation, train.classes))
    trained = [name for name, count in train.counts.items() if count]
    if len(trained) < 2:
        raise UserError(
            f"{source.text} has images of one class ({trained[0]}), so there is nothing to learn; is it the "
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
    if recipe.cutout >= pixels and not recipe.no_aug:
        _log.warning("%s: --cutout %d blanks most of an image of %d px", source.text, recipe.cutout, pixels)
    return Target(train, validation, pixels)


def part_to_train(source: Source, *, split: str, share: float, count: int | None, seed: int) -> ImageSet:
    """Open the images of a target that a network is trained on.

    Args:
        source: the target.
        split: split to train on, or slices of splits.
        share: fraction of each class that is held out to evaluate on.
        count: number of images to keep, of all classes in proportion; None: all.
        seed: random seed of what is held out and of what is kept.

    Raises:
        UserError: the target has no such split, or not so many images in it.
    """
    train = loading.load(source, split)
    if share:
        train = train.select(_hold_out(train, share, seed)[0])
    return train if count is None else _some(train, count, seed)


def _some(images: ImageSet, count: int, seed: int) -> ImageSet:
    """`count` random images, of all classes in proportion, in the order of the set."""
    if count > len(images):
        raise UserError(
            f"--train-images {count:,}: {images.name} {images.split} has {len(images):,} images to train on"
        )
    ranks = hashing.seeded(images.keys, seed, "train-images")
    return images.select(np.sort(splits.in_proportion(images.labels, ranks)[:count]))


def refuse_shared(first: ImageSet, second: ImageSet, what: str) -> None:
    """Refuse two parts of which images are in both, judged by content.

    Args:
        first: one part.
        second: the other part.
        what: the two in words.

    Raises:
        UserError: says how many images they share.
    """
    shared = len(np.intersect1d(first.keys, second.keys))
    if shared:
        raise UserError(f"{what} share {shared:,} images of {first.name}; choose parts that do not overlap")


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
