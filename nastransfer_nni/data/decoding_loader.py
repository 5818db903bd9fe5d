"""Batches of images that do not fit in memory: decoded and augmented one by one in worker processes.

Every image's augmentation depends on the seed, the epoch and the image's place in the epoch alone, never on
the worker that does it: a run may resume at any batch, with other workers, and on other numbers of processes.
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

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import hashing
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.decode import UnreadableImage
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.photo_transform import PhotoTransform
from search_spaces.errors import UserError
from search_spaces.geometry import SMALL_PIXELS

UNREADABLE = -1
"""The label of an image that could not be decoded, on its way from a worker."""

_log = logging.getLogger(__name__)
Key = tuple[int, int, int]
"""Epoch, place in the epoch, row in the set."""


class ImageBatches:
    """Iterates over (images float32 [B, 3, H, W], labels int64 [B]) on `device`.

    An image that cannot be decoded is named. With `skip`, another image of its batch takes its place in
    training, and evaluation leaves it out; with `stop`, the run ends.

    Args:
        images: the set.
        photo_transform: how images are cropped and augmented.
        pixels: side of the images that come out.
        batch_size: images of a batch, on this rank.
        is_training: whether to shuffle, to augment and to leave out an incomplete last batch.
        seed: of order and augmentation.
        workers: worker processes; 0 decodes in this one.
        processes: this process's device and its share of each epoch: every `world_size`-th image.
        on_bad_image: skip or stop.
    """

    def __init__(
        self,
        images: ImageSet,
        photo_transform: PhotoTransform,
        pixels: int,
        batch_size: int,
        *,
        is_training: bool,
        seed: int = 0,
        workers: int = 0,
        processes: DistributedContext,
        on_bad_image: str = "skip",
    ) -> None:
        self.batch_size = batch_size
        self.unreadable: dict[str, None] = {}
        self._on_bad_image = on_bad_image
        self._images, self._seed, self._is_training = images, seed, is_training
        self._rank, self._world_size = processes.rank, processes.world_size
        self._epoch, self._start = 0, 0
        self._known_order: tuple[int, hashing.Rows] = (-1, np.arange(len(images)))
        self._cutout = Augmentation(mean=(0, 0, 0), std=(1 / 255,) * 3, cutout=photo_transform.cutout)
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
            _Whole(self),
            mean=images.source.mean,
            std=images.source.std,
            device=processes.device,
            re_prob=photo_transform.reprob if is_training else 0.0,
            re_mode=photo_transform.remode,
        )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and the batch that it starts with."""
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
        """The rows in the set of the images of one batch of the epoch."""
        return [row for _, _, row in self.keys(number)]

    def keys(self, number: int) -> list[Key]:
        """What the workers are told of one batch of the epoch."""
        first = number * self.batch_size
        mine = range(self._rank, self.samples * self._world_size + self._rank, self._world_size)
        places = [place for place in mine[first : first + self.batch_size] if place < len(self._images)]
        return [(self._epoch, place, int(self._order[place])) for place in places]

    def whole_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches as they come from the workers, without images that could not be decoded."""
        for number, (images, labels) in enumerate(self._loader, self._start):
            bad = labels == UNREADABLE
            if bool(bad.any()):
                images, labels = self._mend(images, labels, bad, number)
                if len(labels) == 0:
                    continue
            seed_everything(self._number("erase", number, self._rank))
            yield images, labels

    def _mend(self, images: Tensor, labels: Tensor, bad: Tensor, number: int) -> tuple[Tensor, Tensor]:
        rows = self.rows(number)
        for place in bad.nonzero().flatten().tolist():
            name = self._images.describe(rows[place])
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
                f"no image of a whole batch can be decoded: {', '.join(list(self.unreadable)[:3])}"
            )
        chosen = torch.arange(len(labels))
        chosen[bad] = good[torch.arange(int(bad.sum())) % len(good)]
        return images[chosen], labels[chosen]

    @property
    def samples(self) -> int:
        """Images of an epoch on this rank."""
        total = len(self._images)
        if not self._is_training:
            return len(range(self._rank, total, self._world_size))
        mine = total // self._world_size
        return mine - mine % self.batch_size

    @property
    def _order(self) -> hashing.Rows:
        """The rows of the epoch in their order; kept for as long as the epoch lasts."""
        epoch, rows = self._known_order
        if self._is_training and epoch != self._epoch:
            generator = torch.Generator().manual_seed(self._number("order"))
            rows = torch.randperm(len(self._images), generator=generator).numpy()
            self._known_order = (self._epoch, rows)
        return rows

    def _number(self, *purpose: object) -> int:
        return hashing.number(self._seed, self._epoch, *purpose)

    @property
    def start(self) -> int:
        """The batch that the iteration starts with."""
        return self._start


class _Whole:
    """What timm's prefetcher iterates over."""

    def __init__(self, batches: ImageBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._batches.whole_batches()


class _Keys:
    """The batches of an epoch as the workers are told of them."""

    def __init__(self, batches: ImageBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[Key]]:
        for number in range(self._batches.start, len(self._batches)):
            yield self._batches.keys(number)

    def __len__(self) -> int:
        return len(self._batches) - self._batches.start


class _Samples(Dataset[tuple[Any, int]]):
    """Decoded and augmented images by key."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Any], pixels: int, seed: int) -> None:
        self._images, self._transform, self._pixels, self._seed = images, transform, pixels, seed

    def __getitem__(self, key: Key) -> tuple[Any, int]:
        epoch, place, row = key
        seed_cpu(hashing.number(self._seed, epoch, "image", place))
        try:
            image, label = self._images[row]
        except UnreadableImage:
            from PIL import Image

            return self._transform(Image.new("RGB", (self._pixels, self._pixels))), UNREADABLE
        return self._transform(image), label


def transform(
    images: ImageSet, options: PhotoTransform, pixels: int, is_training: bool
) -> Callable[[Any], Any]:
    """The transform of timm for one image: PIL in, uint8 [3, pixels, pixels] out."""
    small = (
        images.pixels is not None and max(images.pixels) <= SMALL_PIXELS and images.pixels == (pixels,) * 2
    )
    made: Any = create_transform(
        pixels,
        is_training=is_training,
        scale=options.scale,
        ratio=options.ratio,
        hflip=0.5 if images.source.mirrored else 0.0,
        vflip=options.vflip,
        color_jitter=options.color_jitter or None,
        auto_augment=options.aa or None,
        interpolation="random" if is_training else "bicubic",
        mean=images.source.mean,
        std=images.source.std,
        crop_pct=1.0 if small else options.crop_pct,
        use_prefetcher=True,
    )
    if small and is_training:  # the crop of the small sets: of their own size, out of a black margin
        from torchvision.transforms import RandomCrop

        made.transforms[0] = RandomCrop(pixels, padding=pixels // 8)
    return made  # type: ignore[no-any-return]


def seed_everything(seed: int) -> None:
    """Seed every generator that augmentation and training draw from."""
    seed_cpu(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)


def seed_cpu(seed: int) -> None:
    """Seed what augmentation in a worker draws from.

    `torch.manual_seed` also seeds GPUs; while none is in use it notes the stack for later, which costs as
    much as a small image's augmentation.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - timm draws from it
    torch.default_generator.manual_seed(seed)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
