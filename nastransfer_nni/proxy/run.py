"""The commands `proxy make`, `show`, `export` and `diff`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from nastransfer_nni.data import sources
from nastransfer_nni.data.image_set import ImageSet, summary
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import choose, indices
from nastransfer_nni.proxy import manifest as manifests
from nastransfer_nni.proxy.changes import selected_of
from nastransfer_nni.proxy.config import DiffConfig, ExportConfig, MakeConfig, ShowConfig
from nastransfer_nni.proxy.indices import Indices
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.proxy.picture import draw_grid
from search_spaces.errors import UserError

_MAX_CLASSES = 20
"""Classes that `show` lists."""
_console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def make(config: MakeConfig) -> None:
    """Select a proxy set, write its manifest and print a summary.

    Raises:
        UserError: the set cannot be selected, or `--out` is the manifest of other images.
    """
    path = Path(config.out)
    images = load(config.source, choose.SPLIT)
    chosen, manifest = choose.make(images, config.proxy, config.seed, config.on_bad_image)
    if path.exists() and not config.overwrite:
        present = Manifest.read(path)
        if (present.fingerprint, present.img_size) != (manifest.fingerprint, manifest.img_size):
            raise UserError(f"{path} exists and has other images; --overwrite replaces it")
    with _writing(path):
        manifests.write(manifest, chosen, path)
    _console.print(summary(images))
    _console.print(f"{path}: {_summary(manifest)}")
    _print_note(images.source)


def show(config: ShowConfig) -> None:
    """Print counts and class balance of a proxy set, and draw a grid of its images.

    Raises:
        UserError: the set cannot be selected, or its manifest does not fit the source.
    """
    path = config.proxy.manifest
    chosen, manifest = choose.resolve(config.proxy, _source(config), config.seed)
    _console.print(_summary(manifest))
    _console.print(
        f"from {manifest.source.name} {manifest.source.split} ({manifest.source.images:,} images, "
        f"fingerprint {manifest.source.fingerprint}); proxy {manifest.proxy}, seed {manifest.seed}"
    )
    for score in manifest.scores:
        _console.print(f"by {score['column']} of {score['made_by']}, fingerprint {score['fingerprint']}")
    if manifest.left_out:
        _console.print(f"{len(manifest.left_out)} images that cannot be decoded were excluded")
    _print_classes(chosen)
    _print_note(chosen.source)
    picture = config.picture or (path and path.with_suffix(".png"))
    if picture:
        with _writing(Path(picture)):
            draw_grid(chosen, Path(picture))
        _console.print(f"picture: {picture}")


def export(config: ExportConfig) -> None:
    """Write the positions or keys of the selected images.

    Raises:
        UserError: the set cannot be selected, its manifest does not fit the source, or the file cannot be
            written.
    """
    source = _source(config)
    chosen, manifest = choose.resolve(config.proxy, source, config.seed)
    selected = selected_of(chosen)
    values = selected.keys
    if config.content == "positions":  # in the set itself: streamed images were stored in another order
        kept = load(source, manifest.source.split).relabel(manifest.names)
        rows, _ = manifests.match(
            manifests.tokens(selected.labels, selected.keys), manifests.tokens(kept.labels, kept.keys)
        )
        values = np.sort(kept.numbers[rows]).astype(np.uint64)
    with _writing(Path(config.out)):
        indices.write(Indices(config.content, values), Path(config.out))
    _console.print(f"{config.out}: {config.content} of {len(values):,} images of {manifest.source.name}")


def _source(config: ShowConfig | ExportConfig) -> Source:
    """The image set that the options or the manifest name."""
    if config.source is not None:
        return config.source
    assert config.proxy.manifest is not None, "checked by the config"
    return sources.check(Manifest.read(config.proxy.manifest).source.name)


def diff(config: DiffConfig) -> None:
    """Print what two proxy sets have in common and where they differ.

    Raises:
        UserError: a manifest cannot be read or does not fit its source.
    """
    paths = (Path(config.first), Path(config.second))
    first, second = map(Manifest.read, paths)
    for name in ("proxy", "seed", "img_size"):
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
        f"{_listed('only in the first', classes[0] - classes[1])}"
        f"{_listed('only in the second', classes[1] - classes[0])}"
    )
    keys = [
        manifest.apply(
            load(config.source or sources.check(manifest.source.name), manifest.source.split), path.parent
        ).keys
        for manifest, path in zip((first, second), paths, strict=True)
    ]
    _console.print(f"images in both: {len(np.intersect1d(keys[0], keys[1])):,}")
    same = (first.fingerprint, first.img_size) == (second.fingerprint, second.img_size)
    _console.print("the same proxy set" if same else "different proxy sets")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise a UserError if `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror})") from None


def _listed(what: str, names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
    return f"; {what}: {shown}" if names else ""


def _summary(manifest: Manifest) -> str:
    size = f" at {manifest.img_size} px" if manifest.img_size else ""
    percent = 100 * len(manifest) / manifest.source.images
    return (
        f"{len(manifest):,} images of {manifest.num_classes:,} classes{size}, {percent:.3g}% of "
        f"{manifest.source.name}, fingerprint {manifest.fingerprint}"
    )


def _print_note(source: Source) -> None:
    if source.validation_classes is not None:
        _console.print(
            f"note: {source.name} has validation images of only {source.validation_classes:,} of its "
            f"{source.classes:,} classes"
        )


def _print_classes(chosen: ImageSet) -> None:
    counts = np.array(list(chosen.counts.values()))
    shares = counts[counts > 0] / counts.sum()
    balance = -(shares * np.log(shares)).sum() / math.log(len(counts))
    _console.print(
        f"images per class: minimum {counts.min():,}, median {np.median(counts):,.0f}, maximum "
        f"{counts.max():,}; class balance {balance:.4f} (normalized entropy of the class sizes)"
    )
    table = Table("label", "class", "images", box=None)
    for label in range(min(_MAX_CLASSES, len(counts))):
        table.add_row(str(label), chosen.classes[label], f"{counts[label]:,}")
    _console.print(table)
    if len(counts) > _MAX_CLASSES:
        _console.print(f"... and {len(counts) - _MAX_CLASSES:,} more classes")
