"""What a search sees: the proxy set's images in three streams of batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import splits
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.photo_transform import PhotoTransform
from nastransfer_nni.search.config import SearchConfig

if TYPE_CHECKING:
    from nastransfer_nni.data.decoding_loader import ImageBatches

    Stream = BatchLoader | ImageBatches

LARGE_PIXELS = 224
"""Size that images of many sizes are resized to where `img_size` is not given."""

PHOTO_COLOR_JITTER = (0.4, 0.4, 0.4, 0.2)
"""Colour jitter of images above 64 px where none is given (Yang, Esperanca and Carlucci, ICLR 2020)."""


@dataclass(frozen=True)
class SearchBatches:
    """The three streams of a search: from memory, or decoded as they are needed.

    Attributes:
        weights: augmented batches of the weight split.
        alphas: augmented batches of the alpha split.
        validation: the alpha split without augmentation, in one fixed shuffled order, so that a few of its
            batches are a sample of all classes.
    """

    weights: Stream
    alphas: Stream
    validation: Stream


def image_size(images: ImageSet, config: SearchConfig) -> int:
    """Height and width of the images that the supernet sees, in pixels."""
    return config.img_size or max(images.pixels or (LARGE_PIXELS,))


def split_images(images: ImageSet, config: SearchConfig) -> tuple[ImageSet, ImageSet]:
    """The weight split and the alpha split: disjoint, stratified by class."""
    shares = (config.weights_share, config.alphas_share)
    weights, alphas = images.parts(shares, config.seed)
    return weights, alphas


def make_batches(images: ImageSet, config: SearchConfig, processes: DistributedContext) -> SearchBatches:
    """Batches of the weight split, of the alpha split, and of the alpha split for validation.

    The processes share every batch. Images up to 64 px stay in memory and are augmented batch by batch
    (padded random crops; mirror images where the classes allow them); larger ones are decoded by data
    workers, under random resized crops.
    """
    weights, alphas = split_images(images, config)
    weight_seed, alpha_seed = 2 * config.seed, 2 * config.seed + 1  # the splits must not share their draws
    size = image_size(images, config)
    if InMemoryImages.fits(images, (size, size)):
        return _in_memory(weights, alphas, config, processes, size=size, seeds=(weight_seed, alpha_seed))
    return SearchBatches(
        weights=_decoded(weights, config, processes, size=size, seed=weight_seed, is_training=True),
        alphas=_decoded(alphas, config, processes, size=size, seed=alpha_seed, is_training=True),
        validation=_decoded(alphas, config, processes, size=size, seed=alpha_seed, is_training=False),
    )


def _in_memory(
    weights: ImageSet,
    alphas: ImageSet,
    config: SearchConfig,
    processes: DistributedContext,
    *,
    size: int,
    seeds: tuple[int, int],
) -> SearchBatches:
    brightness, contrast, saturation, hue = (*(config.color_jitter or ()), 0.0, 0.0, 0.0, 0.0)[:4]
    jitter = (brightness, contrast, saturation, hue)
    augmented = replace(Augmentation.standard(weights.source, pixels=size), jitter=jitter)
    plain = Augmentation.none(weights.source)

    def loader(content: InMemoryImages, augmentation: Augmentation, seed: int) -> BatchLoader:
        return BatchLoader(
            content,
            config.batch_size // processes.world_size,
            augmentation,
            seed=seed,
            device=processes.device,
            rank=processes.rank,
            world_size=processes.world_size,
        )

    # decoded once, and kept once on the device, for both streams
    alpha_images = InMemoryImages.kept(alphas, (size, size), config.on_bad_image).to(processes.device)
    return SearchBatches(
        weights=loader(InMemoryImages.kept(weights, (size, size), config.on_bad_image), augmented, seeds[0]),
        alphas=loader(alpha_images, augmented, seeds[1]),
        validation=loader(alpha_images, plain, seeds[1]),
    )


def _decoded(
    images: ImageSet,
    config: SearchConfig,
    processes: DistributedContext,
    *,
    size: int,
    seed: int,
    is_training: bool,
) -> Stream:
    # timm takes a second to import, and small images do without
    from nastransfer_nni.data.decoding_loader import ImageBatches

    if not is_training:  # one fixed shuffled order
        images = images.select(splits.split(images.labels, (1.0,), seed)[0])
    jitter = PHOTO_COLOR_JITTER if config.color_jitter is None else config.color_jitter
    return ImageBatches(
        images,
        photo_transform=PhotoTransform(scale=config.scale, color_jitter=jitter),
        pixels=size,
        batch_size=config.batch_size // processes.world_size,
        is_training=is_training,
        seed=seed,
        workers=config.workers,
        processes=processes,
        on_bad_image=config.on_bad_image,
        keep=not is_training,
    )
