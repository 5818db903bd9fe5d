"""What a search sees: the proxy set's images in three streams of batches."""

from __future__ import annotations

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data import splits
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.decoding_loader import ImageBatches
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.training import recipes
from search_spaces.geometry import default_stem

Stream = BatchLoader | ImageBatches
"""Batches of one part of the set, in memory or decoded as they are needed."""

LARGE_PIXELS = 224
"""What images of many sizes are brought to where no size is asked for."""


def side(images: ImageSet, config: SearchConfig) -> int:
    """Side of the square images that the supernet sees, in pixels."""
    return config.pixels or max(images.pixels or (LARGE_PIXELS,))


def stem(images: ImageSet, config: SearchConfig) -> str:
    """The stem for images of this size, unless the options say which."""
    return default_stem(side(images, config)) if config.stem == "auto" else config.stem


def halves(images: ImageSet, config: SearchConfig) -> tuple[ImageSet, ImageSet]:
    """The part that trains the weights and the part that trains the architecture: disjoint, stratified."""
    shares = (config.weights_share, config.alphas_share)
    weights, alphas = splits.split(images.labels, shares, config.seed)
    return images.select(weights), images.select(alphas)


def batches(
    images: ImageSet, config: SearchConfig, processes: DistributedContext
) -> tuple[Stream, Stream, Stream]:
    """Batches of the weights half, of the alphas half, and of the alphas half as it is, for validation.

    The processes of `processes` share every batch. Small images stay in memory and are augmented in batches
    (random crops; mirror images where the classes allow them); larger ones are decoded in workers under
    random resized crops. Validation keeps one mixed order: a few of its batches are a sample of all classes.
    """
    weights, alphas = halves(images, config)
    make = _small if InMemoryImages.fits(images, (side(images, config),) * 2) else _large
    seeds = (2 * config.seed, 2 * config.seed + 1)  # the halves must not share their draws
    return (
        make(weights, config, processes, seeds[0], True),
        make(alphas, config, processes, seeds[1], True),
        make(alphas, config, processes, seeds[1], False),
    )


def _small(
    images: ImageSet, config: SearchConfig, processes: DistributedContext, seed: int, augmented: bool
) -> Stream:
    pixels = side(images, config)
    kind = (
        Augmentation.standard(images.source, pixels=pixels) if augmented else Augmentation.none(images.source)
    )
    content = InMemoryImages.of(images, (pixels, pixels), config.on_bad_image)
    return BatchLoader(
        content,
        config.batch_size // processes.world_size,
        kind,
        seed=seed,
        device=processes.device,
        rank=processes.rank,
        world_size=processes.world_size,
    )


def _large(
    images: ImageSet, config: SearchConfig, processes: DistributedContext, seed: int, augmented: bool
) -> Stream:
    if not augmented:
        order = splits.split(images.labels, (1.0,), seed)[0]
        images = images.select(order)
    return ImageBatches(
        images,
        recipes.resolve("yang-224", {}).photo_transform,
        side(images, config),
        config.batch_size // processes.world_size,
        is_training=augmented,
        seed=seed,
        workers=config.loader_workers,
        processes=processes,
        on_bad_image=config.on_bad_image,
    )
