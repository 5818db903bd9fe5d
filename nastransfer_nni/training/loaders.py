"""The splits of a target as batches: augmented ones for training, and every image once for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.decoding_loader import ImageBatches
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import Target
from search_spaces.errors import UserError
from strategies.interfaces import Batches


class TrainingBatches(Batches, Protocol):
    """Batches that training can resume within an epoch, and whose images it can name."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and its first batch."""

    def rows(self, number: int) -> list[int]:
        """Rows, in the image set, of the images in batch `number` of the epoch."""


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
        keep=True,
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
            drop_last=not keeps_last(len(target.train), batch_size, recipe, processes.world_size),
            repeats=recipe.aug_repeats,
        )
        return Loaders(decoded, validation, target.train)
    images = InMemoryImages.kept(target.train, size, on_bad_image)
    batches = BatchLoader(
        images,
        batch_size,
        _batch_augmentation(target, recipe),
        seed=seed,
        drop_last=not keeps_last(len(images), batch_size, recipe, processes.world_size),
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


def keeps_last(images: int, batch_size: int, recipe: Recipe, world_size: int = 1) -> bool:
    """Whether an incomplete last batch is trained on: BatchNorm needs two images of it in each process.

    Args:
        images: number of images to train on.
        batch_size: images per micro-batch in each process.
        recipe: what it says of the last batch.
        world_size: number of processes.
    """
    return recipe.keeps_last and images // world_size % batch_size != 1


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
    keep: bool = False,
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
        keep: decode images once for all evaluations by these batches, where memory allows it.
    """
    if not (as_timm or crops(images, recipe, pixels)):
        size = (pixels, pixels)
        return BatchLoader(
            InMemoryImages.kept(images, size, on_bad_image),
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
        keep=keep,
    )
