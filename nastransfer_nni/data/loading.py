"""Open an image set, in whatever form this machine has it, else from the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import hashing, hub, image_folder, labels, library, parts, shards, slices
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.layout import Layout, Part, find
from nastransfer_nni.data.library import Description
from nastransfer_nni.data.slices import Slice
from nastransfer_nni.data.sources import Source, check, local_folder
from nastransfer_nni.data.splits import in_proportion
from nastransfer_nni.data.splits import split as stratified_split
from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES, stamp_of
from nastransfer_nni.data.stores.joined import JoinedStore
from nastransfer_nni.data.stores.memory import MemoryStore
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)
_opened: ContextVar[dict[tuple[Source, str], ImageSet] | None] = ContextVar("opened", default=None)


@contextlib.contextmanager
def opened_once() -> Iterator[None]:
    """In this block, `load` opens a split once: a search wants its images, and their size for the recipe."""
    token = _opened.set({})
    try:
        yield
    finally:
        _opened.reset(token)


def load(source: Source | str, split: str = "train") -> ImageSet:
    """Open one split of an image set, or another part of it.

    Args:
        source: the set, from `sources.check`, or its name.
        split: train, validation or test, whatever the set itself calls it; or slices of them, as
            `slices.parse` takes them. `train` is the part that the source names as its training split.

    Raises:
        UserError: the set, the split or a column does not exist, the split is smaller than a slice of it, or
            the set can be read in two ways; the message says what does exist, or how to get the set.
    """
    source = check(source) if isinstance(source, str) else source
    if split == "train" and source.split:
        split = source.split
    opened = _opened.get()
    if opened is None:
        return _open(source, split)
    if (source, split) not in opened:
        opened[source, split] = _open(source, split)
    return opened[source, split]


def _open(source: Source, split: str) -> ImageSet:
    """One split, or slices of several."""
    if split in slices.SPLITS:
        return _load(source, split)
    return _joined([_cut(_load(source, piece.split), piece) for piece in slices.parse(split)], split)


def _cut(images: ImageSet, piece: Slice) -> ImageSet:
    """The images of a slice, in the order in which they are stored."""
    if piece.is_whole:
        return images
    if max(piece.start + 1, piece.stop or 0) > len(images):
        raise UserError(
            f"{images.source.name}: its {images.split} split has {len(images):,} images, so there is no "
            f"{images.split}[{piece.start or ''}:{piece.stop or ''}]"
        )
    order = in_proportion(images.labels, hashing.seeded(images.keys, 0, "slice"))
    return images.select(np.sort(order[piece.start : piece.stop]))


def _joined(pieces: Sequence[ImageSet], split: str) -> ImageSet:
    """Several parts of a set as one, with the classes of the first."""
    first = pieces[0]
    if len(pieces) == 1:
        return replace(first, split=split)
    number = {name: label for label, name in enumerate(first.classes)}
    for piece in pieces:
        if not number.keys() >= set(piece.classes):
            raise UserError(f"{first.name}: its {piece.split} and {first.split} splits differ in classes")
    starts = np.cumsum([0, *(len(piece.store) for piece in pieces)])
    return replace(
        first,
        split=split,
        labels=np.concatenate(
            [np.array([number[name] for name in piece.classes])[piece.labels] for piece in pieces]
        ),
        store=JoinedStore([piece.store for piece in pieces]),
        numbers=np.concatenate(
            [piece.numbers + start for piece, start in zip(pieces, starts[:-1], strict=True)]
        ),
        left_out="; ".join(piece.left_out for piece in pieces if piece.left_out),
    )


def _load(source: Source, split: str) -> ImageSet:
    """One split, by our name of it."""
    folder = local_folder(source)
    if folder is not None:
        images = _from_folder(source, folder, split)
    elif source.name == "digits":
        images = _digits(source, split)
    else:
        images = hub.load(source, split)
    if len(images) == 0:
        raise UserError(f"{source.text}: the {split} split has no images")
    if images.left_out:
        _warn_once(f"{source.text}, {split} split: left out {images.left_out}")
    return images


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning("%s", message)


def splits(source: Source) -> tuple[str, ...]:
    """Which of train, validation and test the set has, without opening them.

    Raises:
        UserError: the Hub does not have the set, or does not give it; or a folder can be read in two ways.
    """
    folder = local_folder(source)
    if folder is None:
        return parts.known(tuple(source.splits) or hub.splits(source))
    content = _content(source, folder)
    return parts.known(content.parts if isinstance(content, Layout) else content.files)


# Local forms


def _content(source: Source, folder: Path) -> Layout | Description:
    """The parts of a folder: as `datasets` has them where the folder describes itself to it."""
    problem = ""
    if library.has_card(folder) or library.has_metadata(folder):
        try:
            return library.describe(source, folder)
        except library.Unreadable as error:
            problem = str(error)
    layout = find(folder, source.folders)
    if layout is not None:
        if problem:
            _warn_once(f"{problem}; its files are read without it")
        return layout
    try:
        return library.describe(source, folder)
    except library.Unreadable as error:
        raise UserError(
            problem
            or f"{folder} contains no images: expected train.parquet, train-*.tar, a saved data set, or a "
            f"folder per class with files {', '.join(IMAGE_SUFFIXES[:4])}, ..."
        ) from error


def _from_folder(source: Source, folder: Path, split: str) -> ImageSet:
    content = _content(source, folder)
    if isinstance(content, Description):
        return _from_library(source, content, split)
    part = content.parts[parts.pick(source.name, split, content.parts)]
    images = _READERS[part.form](source, split, part, folder)
    if not content.left_out:
        return images
    shown = ", ".join(content.left_out[:3]) + (", ..." if len(content.left_out) > 3 else "")
    return _leaving_out(images, Counter({f"{shown}, which are in no split": len(content.left_out)}))


def _from_library(source: Source, description: Description, split: str) -> ImageSet:
    """A folder as `datasets` reads it; labels of files and class folders must not contradict each other."""
    if description.form == "webdataset":
        theirs = parts.pick(source.name, split, description.files)
        return _from_shards(source, split, Part("shards", description.files[theirs]), description.folder)
    if description.form != "imagefolder" or source.label is not None:
        return library.load(source, description, split)
    by_folder = _class_folders(source, split, description.folder)
    try:
        images = library.load(source, description, split)
    except UserError:
        if by_folder is None:
            raise
        return by_folder
    if by_folder is not None and by_folder.counts != images.counts:
        raise UserError(
            f"{description.folder} can be read in two ways: by its files {library.METADATA[0]} it has "
            f"{len(images):,} images of {len(images.classes):,} classes, by its folders {len(by_folder):,} "
            f"of {len(by_folder.classes):,}; add @label=COLUMN to the name of the set, or move the file away"
        )
    return images


def _class_folders(source: Source, split: str, folder: Path) -> ImageSet | None:
    """The split as class folders; None where it is none."""
    try:
        layout = find(folder, source.folders)
        part = layout and layout.parts.get(split)
        return _from_images(source, split, part, folder) if part and part.form == "images" else None
    except UserError:
        return None


def _from_images(source: Source, split: str, part: Part, folder: Path) -> ImageSet:
    found = image_folder.read(part.paths[0], source.level)
    images = labels.named(source, split, found.store, found.labels, found.classes)
    return _leaving_out(images, found.left_out)


def _from_shards(source: Source, split: str, part: Part, folder: Path) -> ImageSet:
    found = shards.index(part.paths, source.image, source.label)
    words, indices = np.unique(found.labels, return_inverse=True)
    images = labels.by_name(source, split, found.store, words.tolist(), indices)
    return _leaving_out(images, found.left_out)


def _from_saved(source: Source, split: str, part: Part, folder: Path) -> ImageSet:
    import datasets  # slow to import

    saved = part.paths[0]
    try:
        dataset = datasets.Dataset.load_from_disk(str(saved))
    except Exception as error:  # damaged and missing files raise nearly everything
        raise UserError(f"{saved} is not a data set saved by `datasets` ({hub.first_line(error)})") from error
    return hub.from_dataset(source, split, dataset, folder)


def _from_parquet(source: Source, split: str, part: Part, folder: Path) -> ImageSet:
    import datasets
    import pyarrow
    from pyarrow import parquet

    for file in part.paths:
        try:
            parquet.read_schema(file)
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{file} is not a Parquet file ({hub.first_line(error)})") from error
    names = [str(file) for file in part.paths]
    open_table = partial(datasets.load_dataset, "parquet", data_files=names, split="train")
    if source.stream or hub.too_big(sum(file.stat().st_size for file in part.paths)):
        return hub.from_stream(source, split, partial(open_table, streaming=True), stamp_of(part.paths))
    try:
        with library.quiet():
            dataset = open_table()
    except datasets.exceptions.DatasetsError as error:
        raise UserError(f"{folder}: {hub.first_line(error.__cause__ or error)}") from error
    return hub.from_dataset(source, split, dataset, folder)


_READERS = {
    "images": _from_images,
    "shards": _from_shards,
    "saved": _from_saved,
    "parquet": _from_parquet,
}


def _leaving_out(images: ImageSet, left_out: Counter[str]) -> ImageSet:
    """The same images, with words on what else there was."""
    counted = [f"{what} ({count:,})" for what, count in sorted(left_out.items()) if count]
    return replace(images, left_out=", ".join(filter(None, (images.left_out, *counted))))


def _digits(source: Source, split: str) -> ImageSet:
    """The 1,797 scans of 8x8 pixels of scikit-learn; a fixed fifth of each class is the test split."""
    parts.pick(source.name, split, tuple(source.splits))
    contents, classes, names = _scans()
    train, test = stratified_split(classes, (0.8, 0.2), seed=0)
    images = labels.numbered(source, split, MemoryStore(contents), classes, names)
    return images.select(train if split == "train" else test)


@functools.cache
def _scans() -> tuple[list[bytes], npt.NDArray[np.int64], list[str]]:
    """The digits as PNG files, their classes int64 [n], and the names of the classes."""
    from PIL import Image

    # its file alone: scikit-learn takes half a second to import
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    contents = []
    for scan in table[:, :-1].reshape(-1, 8, 8):
        content = io.BytesIO()
        Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8)).save(content, "PNG")
        contents.append(content.getvalue())
    classes = table[:, -1].astype(np.int64)
    return contents, classes, [str(number) for number in range(10)]
