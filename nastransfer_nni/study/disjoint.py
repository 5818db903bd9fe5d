"""The images that a study searches on, trains on and evaluates on must not meet, where it says so.

On images on which a search has chosen its cell, this cell has an advantage over random ones.
"""

from __future__ import annotations

from nastransfer_nni.data import loading
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.study.design import Study
from nastransfer_nni.training.target import part_to_evaluate, part_to_train, refuse_shared
from nastransfer_nni.transfer.config import TransferConfig


def require_disjoint(study: Study) -> None:
    """Refuse a study with `disjoint: true` of which two parts share an image, judged by content.

    Raises:
        UserError: names the two parts and says how many images they share; or a set cannot be opened.
    """
    if not study.disjoint:
        return
    pools = _pools(study)
    configs = [job.config for job in study.jobs if isinstance(job.config, TransferConfig)]
    for config in {each.target.text: each for each in configs}.values():
        trained, evaluated = _parts(config)
        train, evaluation = (
            f"{use} on {config.target.name} {part.split}"
            for use, part in (("training", trained), ("evaluation", evaluated))
        )
        refuse_shared(trained, evaluated, f"{train} and {evaluation}")
        for name, pool in pools.items():
            refuse_shared(pool, trained, f"searches on {name} and {train}")
            refuse_shared(pool, evaluated, f"searches on {name} and {evaluation}")


def _pools(study: Study) -> dict[str, ImageSet]:
    """The images that the proxy sets of each source are drawn from, by name."""
    pools = {}
    for item in study.sources:
        for proxy in item.proxies:
            split = "train" if proxy.manifest is None else Manifest.read(proxy.manifest).source.split
            images = loading.load(item.source, split)
            pools[f"{images.name} {images.split}"] = images
    return pools


def _parts(config: TransferConfig) -> tuple[ImageSet, ImageSet]:
    """The images that a transfer trains on, and those that it evaluates on."""
    seed = config.seed if config.val_seed is None else config.val_seed
    share = config.val_share
    trained = part_to_train(
        config.target, split=config.train_split, share=share, count=config.train_images, seed=seed
    )
    evaluated = part_to_evaluate(
        config.target, split=config.val_split, train_split=config.train_split, share=share, seed=seed
    )
    return trained, evaluated
