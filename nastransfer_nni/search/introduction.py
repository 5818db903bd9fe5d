"""The first lines of a search: what it searches on, with which network, where, and after what it resumes."""

from __future__ import annotations

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.data import image_size, split_images
from nastransfer_nni.tracking.run import Run
from search_spaces.registry import DEFAULT
from strategies.darts.options import DartsOptions


def introduction(
    config: SearchConfig, run: Run, images: ImageSet, processes: DistributedContext, done: int
) -> str:
    """What a search is about to do.

    Args:
        config: options of the search.
        run: the open run.
        images: the proxy set.
        processes: the processes of the run and their device.
        done: epochs, or candidates, that an earlier process has completed.
    """
    weights, alphas = split_images(images, config)
    size = image_size(images, config)
    units = "epochs" if config.strategy.options.shares_weights else "candidates"
    space = f" in {config.space.text}" if config.space.text != DEFAULT else ""
    lines = [
        f"{run.path}: {config.strategy.name}{space} on {config.source.text}, proxy {config.proxy.text}; "
        f"{len(weights):,} images for the weights and {len(alphas):,} for the architecture at {size} px, "
        f"{len(images.classes):,} classes; {config.layers} cells of width {config.width}, "
        f"{config.stem_for(size)} stem; {processes.world_size} x {processes.device}"
    ]
    options = config.strategy.options
    if isinstance(options, DartsOptions) and options.cell == "fast":
        why = options.why_plain(config.space)
        lines += [f"search-time cells are plain: {why}"] if why else []
    if run.is_resumed:
        lines.append(f"resuming after {done} {units if done != 1 else units.removesuffix('s')}")
    return "\n".join(lines)
