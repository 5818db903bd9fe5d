"""What `proxy make`, `show` and `diff` do once their options are known to be good."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.loading import load
from nastransfer_nni.proxy import choose, spec
from nastransfer_nni.proxy import manifest as manifests
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.picture import draw_grid
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from nastransfer_nni.proxy.config import DiffConfig, ShowConfig, _Make

_SHOWN = 20
_console = Console(soft_wrap=True, highlight=False)


def make(config: _Make) -> None:
    """Choose a proxy set, write its manifest and say what is in it."""
    path = Path(config.out)
    images = load(config.source, choose.SPLIT)
    chosen, manifest = choose.make(images, config.steps, config.seed, config.on_bad_image)
    if path.exists() and not config.overwrite:
        there = Manifest.read(path)
        if (there.fingerprint, there.pixels) != (manifest.fingerprint, manifest.pixels):
            raise UserError(f"{path} is there and chooses other images; --overwrite replaces it")
    manifests.write(manifest, chosen, path)
    _console.print(f"{path}: {_summary(manifest)}")
    _print_caveat(images)


def show(config: ShowConfig) -> None:
    """Print counts and class balance, and draw a grid of images."""
    path = Path(config.proxy)
    source = config.source or Manifest.read(path).source.name
    chosen, manifest = choose.resolve(spec.parse(config.proxy), source, config.seed)
    _console.print(_summary(manifest))
    _console.print(
        f"from {manifest.source.name} {manifest.source.split} ({manifest.source.images:,} images, "
        f"fingerprint {manifest.source.fingerprint}); proxy {manifest.proxy}, seed {manifest.seed}"
    )
    for score in manifest.scores:
        _console.print(f"by {score['column']} of {score['made_by']}, fingerprint {score['fingerprint']}")
    if manifest.left_out:
        _console.print(f"{len(manifest.left_out)} images that cannot be read were left out")
    _print_classes(chosen)
    _print_caveat(chosen)
    if config.picture or path.is_file():
        picture = Path(config.picture) if config.picture else path.with_suffix(".png")
        draw_grid(chosen, picture)
        _console.print(f"picture: {picture}")


def diff(config: DiffConfig) -> None:
    """Say what two proxy sets share and where they differ."""
    paths = (Path(config.first), Path(config.second))
    first, second = map(Manifest.read, paths)
    for name in ("proxy", "seed", "pixels"):
        if getattr(first, name) != getattr(second, name):
            _console.print(f"{name}: {getattr(first, name)} | {getattr(second, name)}")
    if first.source.fingerprint != second.source.fingerprint:
        _console.print(
            f"source: {first.source.name} {first.source.fingerprint} | "
            f"{second.source.name} {second.source.fingerprint}"
        )
    _console.print(f"images: {len(first):,} | {len(second):,}")
    classes = [set(first.classes), set(second.classes)]
    _console.print(
        f"classes: {len(classes[0]):,} | {len(classes[1]):,}, {len(classes[0] & classes[1]):,} in both"
        f"{_some('only in the first', classes[0] - classes[1])}"
        f"{_some('only in the second', classes[1] - classes[0])}"
    )
    sets = [
        manifest.apply(load(config.source or manifest.source.name, manifest.source.split), path.parent)
        for manifest, path in zip((first, second), paths, strict=True)
    ]
    shared = len(np.intersect1d(sets[0].keys, sets[1].keys))
    _console.print(f"images in both: {shared:,}")
    same = (first.fingerprint, first.pixels) == (second.fingerprint, second.pixels)
    _console.print("the same proxy set" if same else "different proxy sets")


def _some(what: str, names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    return f"; {what}: {shown}" if names else ""


def _summary(manifest: Manifest) -> str:
    side = f" at {manifest.pixels} px" if manifest.pixels else ""
    share = 100 * len(manifest) / manifest.source.images
    return (
        f"{len(manifest):,} images of {len(manifest.classes):,} classes{side}, {share:.3g}% of "
        f"{manifest.source.name}, fingerprint {manifest.fingerprint}"
    )


def _print_caveat(images: ImageSet) -> None:
    source = images.source
    if source.validation_classes is not None:
        _console.print(
            f"note: {source.name} has validation images of only {source.validation_classes:,} of its "
            f"{source.classes:,} classes"
        )


def _print_classes(chosen: ImageSet) -> None:
    counts = np.array(list(chosen.counts.values()))
    shares = counts / counts.sum()
    balance = -(shares * np.log(shares)).sum() / math.log(len(counts))
    _console.print(
        f"images of a class: least {counts.min():,}, median {np.median(counts):,.0f}, most {counts.max():,}; "
        f"class balance {balance:.4f} (entropy of the class shares, 1 where all are equal)"
    )
    table = Table("label", "class", "images", box=None)
    for label in range(min(_SHOWN, len(counts))):
        table.add_row(str(label), chosen.classes[label], f"{counts[label]:,}")
    _console.print(table)
    if len(counts) > _SHOWN:
        _console.print(f"... and {len(counts) - _SHOWN:,} more classes")
