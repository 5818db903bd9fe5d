"""Batches of images that do not fit in memory: data workers decode and augment them one by one.

How an image is augmented depends only on the seed, the epoch and the image's position in the epoch, not on
the worker that does it. So a run may resume at any batch, with another number of workers or of processes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from timm.data import create_transform
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import hashing
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import takes_little_memory
from nastransfer_nni.data.photo_transform import PhotoTransform
from search_spaces.errors import UserError
from search_spaces.geometry import SMALL_PIXELS

UNREADABLE = -1
"""Label that a worker gives an image that it could not decode."""

_log = logging.getLogger(__name__)
Key = tuple[int, int, int]
"""Epoch, position in the epoch, row in the image set."""


class ImageBatches:
    """Iterates over images float32 [B, 3, pixels, pixels] and labels int64 [B] on `processes.device`.

    An image that cannot be decoded is logged by name. With `skip`, another image of the batch replaces it in
    training, and evaluation goes without it; with `stop`, iterating raises UserError.

    Args:
        images: the image set.
        photo_transform: how images are cropped and augmented.
        pixels: height and width of the resulting images.
        batch_size: images per batch, in this process.
        is_training: whether to shuffle and augment.
        seed: random seed of order and augmentation.
        workers: number of worker processes; 0: images are decoded in this process.
        processes: the processes that share each epoch; each gets every `world_size`-th image.
        on_bad_image: `skip` or `stop`.
        drop_last: whether training drops an incomplete last batch.
        repeats: how often an image of an epoch is trained on, each time augmented anew; an epoch stays as
            long, and has the fewer images.
        keep: keep images for evaluation in memory once they are decoded, if all of them take at most a
            quarter of it; those of training are augmented anew in every epoch.

    Attributes:
        batch_size: images per batch, in this process.
        unreadable: names of the images that could not be decoded so far, in order of appearance.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        photo_transform: PhotoTransform,
        pixels: int,
        batch_size: int,
        is_training: bool,
        seed: int = 0,
        workers: int = 0,
        processes: DistributedContext,
        on_bad_image: str = "skip",
        drop_last: bool = True,
        repeats: int = 1,
        keep: bool = False,
    ) -> None:
        self.batch_size = batch_size
        self.unreadable: dict[str, None] = {}
        self._on_bad_image = on_bad_image
        self._images, self._seed, self._is_training = images, seed, is_training
        self._rank, self._world_size = processes.rank, processes.world_size
        self._epoch, self._start = 0, 0
        self._known_order: tuple[int, hashing.Rows] = (-1, np.arange(len(images)))
        self._drop_last, self._repeats = drop_last, max(repeats, 1)
        self._keeps = keep and not is_training and takes_little_memory(len(images), (pixels, pixels))
        self._kept: list[tuple[Tensor, Tensor]] = []
        cutout = 0 if photo_transform.no_aug else photo_transform.cutout
        self._cutout = Augmentation(mean=(0, 0, 0), std=(1 / 255,) * 3, cutout=cutout)
        self._loader = DataLoader(
            _Samples(images, transform(images, photo_transform, pixels, is_training), pixels, seed),
            batch_sampler=_Keys(self),
            num_workers=workers,
            collate_fn=fast_collate,
            persistent_workers=workers > 0,
            pin_memory=processes.device.type == "cuda",
            worker_init_fn=_one_thread if workers else None,
        )
        self._prefetcher = PrefetchLoader(
            _ReadableBatches(self),
            mean=images.source.mean,
            std=images.source.std,
            device=processes.device,
            re_prob=photo_transform.reprob if is_training and not photo_transform.no_aug else 0.0,
            re_mode=photo_transform.remode,
        )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and its first batch."""
        self._epoch, self._start = epoch, start

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        cuts = self._is_training and self._cutout.cutout
        for number, (images, labels) in enumerate(self._prefetcher, self._start):
            if cuts:
                generator = torch.Generator().manual_seed(self._number("cutout", number))
                images = self._cutout(images, generator, self._rank, self._world_size)
            yield images, labels

    def rows(self, number: int) -> list[int]:
        """Rows, in the image set, of the images in batch `number` of the epoch."""
        return [row for _, _, row in self.keys(number)]

    def keys(self, number: int) -> list[Key]:
        """Keys of the images in batch `number` of the epoch, which are sent to the workers."""
        first = number * self.batch_size
        mine = range(self._rank, self.samples * self._world_size + self._rank, self._world_size)
        positions = [index for index in mine[first : first + self.batch_size] if index < len(self._images)]
        return [(self._epoch, index, int(self._order[index])) for index in positions]

    def readable_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches, uint8 [B, 3, H, W], without the images that could not be decoded."""
        for number, (images, labels) in enumerate(self._batches(), self._start):
            if len(labels) == 0:
                continue
            seed_everything(self._number("erase", number, self._rank))
            yield images, labels

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches that are kept, and behind them those that the workers decode."""
        first = self._start
        while first < len(self._kept):
            yield self._kept[first]
            first += 1
        if self._keeps and first == len(self):
            return
        for number, (images, labels) in enumerate(self._loader, first):
            bad = labels == UNREADABLE
            if bool(bad.any()):
                images, labels = self._without_bad(images, labels, bad, number)
            if self._keeps and number == len(self._kept):
                # copies: what workers share takes a file descriptor each, and pinned memory is rounded up
                self._kept.append((images.clone(), labels.clone()))
            yield images, labels

    def _without_bad(self, images: Tensor, labels: Tensor, bad: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number` with the `bad` images (bool [B]) replaced in training, removed in evaluation."""
        rows = self.rows(number)
        for index in bad.nonzero().flatten().tolist():
            name = self._images.describe(rows[index])
            if self._on_bad_image == "stop":
                raise UserError(f"cannot decode {name}; --on-bad-image skip leaves it out")
            if name not in self.unreadable:
                self.unreadable[name] = None
                _log.warning("cannot decode %s", name)
        good = (~bad).nonzero().flatten()
        if not self._is_training:
            return images[good], labels[good]
        if len(good) == 0:
            raise UserError(
                f"none of the images in a batch can be decoded: {', '.join(list(self.unreadable)[:3])}"
            )
        chosen = torch.arange(len(labels))
        chosen[bad] = good[torch.arange(int(bad.sum())) % len(good)]
        return images[chosen], labels[chosen]

    @property
    def samples(self) -> int:
        """Images per epoch, in this process."""
        total = len(self._images)
        if not self._is_training:
            return len(range(self._rank, total, self._world_size))
        mine = total // self._world_size
        return mine - mine % self.batch_size if self._drop_last else mine

    @property
    def _order(self) -> hashing.Rows:
        """Rows of the image set in the order of the epoch, int64 [N]; computed once per epoch."""
        epoch, rows = self._known_order
        if self._is_training and epoch != self._epoch:
            generator = torch.Generator().manual_seed(self._number("order"))
            rows = torch.randperm(len(self._images), generator=generator).numpy()
            rows = rows.repeat(self._repeats)[: len(rows)]
            self._known_order = (self._epoch, rows)
        return rows

    def _number(self, *purpose: object) -> int:
        return hashing.number(self._seed, self._epoch, *purpose)

    @property
    def start(self) -> int:
        """Number of the first batch of the next iteration that is to be decoded."""
        return max(self._start, len(self._kept))


class _ReadableBatches:
    """The iterable that timm's prefetcher reads from."""

    def __init__(self, batches: ImageBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches.readable_batches()


class _Keys:
    """The batch sampler: keys of the images of each batch of the epoch."""

    def __init__(self, batches: ImageBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[Key]]:
        for number in range(self._batches.start, len(self._batches)):
            yield self._batches.keys(number)

    def __len__(self) -> int:
        return len(self._batches) - self._batches.start


class _Samples(Dataset[tuple[Any, int]]):
    """The data set that workers read: decoded and augmented images by key."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Any], pixels: int, seed: int) -> None:
        self._images, self._transform, self._pixels, self._seed = images, transform, pixels, seed

    def __getitem__(self, key: Key) -> tuple[Any, int]:
        epoch, position, row = key
        seed_cpu(hashing.number(self._seed, epoch, "image", position))
        try:
            image, label = self._images[row]
        except UnreadableImage:
            from PIL import Image

            return self._transform(Image.new("RGB", (self._pixels, self._pixels))), UNREADABLE
        return self._transform(image), label


def transform(
    images: ImageSet, options: PhotoTransform, pixels: int, is_training: bool
) -> Callable[[Any], Any]:
    """The transform of one image: PIL image in, uint8 [3, pixels, pixels] out.

    It is timm's, except that training images up to 64 px of the right size are cropped at that size from a
    black margin of an eighth, as small images are elsewhere, instead of by a random resized crop.
    """
    is_small = images.pixels == (pixels, pixels) and pixels <= SMALL_PIXELS
    shared: dict[str, Any] = {"mean": images.source.mean, "std": images.source.std, "use_prefetcher": True}
    if not is_training or options.no_aug:
        crop_pct = 1.0 if is_small and not options.crops_small else options.crop_pct
        return create_transform(  # type: ignore[no-any-return]
            pixels, crop_pct=crop_pct, interpolation=options.interpolation, **shared
        )
    hflip = options.flip_rate(images.source.mirrored)
    crop_and_flip, augment, to_tensor = create_transform(
        pixels,
        is_training=True,
        scale=options.scale,
        ratio=options.ratio,
        hflip=hflip,
        vflip=options.vflip,
        color_jitter=options.color_jitter or None,
        auto_augment=options.aa or None,
        interpolation=options.train_interpolation,
        separate=True,
        **shared,
    )
    if is_small:
        flips = (RandomHorizontalFlip(hflip), hflip), (RandomVerticalFlip(options.vflip), options.vflip)
        used = [flip for flip, probability in flips if probability > 0]  # an unused flip would draw, too
        crop_and_flip = Compose([RandomCrop(pixels, padding=pixels // 8), *used])
    return Compose([crop_and_flip, augment, to_tensor])  # type: ignore[no-any-return]


def seed_everything(seed: int) -> None:
    """Seed every generator that training draws from, those of accelerators included."""
    seed_cpu(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)


def seed_cpu(seed: int) -> None:
    """Seed every generator that augmentation in a worker draws from.

    `torch.manual_seed` would seed GPUs, too. While none is in use it records the call stack for later, which
    takes as long as the augmentation of a small image.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - timm draws from it
    torch.default_generator.manual_seed(seed)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
