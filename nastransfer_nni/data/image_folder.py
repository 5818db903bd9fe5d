"""Image files in class folders, as torchvision's `ImageFolder`, timm and `datasets` find them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES
from nastransfer_nni.data.stores.files import FileStore
from search_spaces.errors import UserError

JUNK = frozenset(
    ("__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)
"""Folders that operating systems and tools leave among images."""


@dataclass(frozen=True)
class ClassFolders:
    """The images of a part, in the order of their classes.

    Attributes:
        store: the images.
        labels: class of each image, int64 [N].
        classes: class names, sorted as texts.
        left_out: number of entries that are left out, by why they are.
    """

    store: FileStore
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    left_out: Counter[str]


def is_image(name: str) -> bool:
    """Whether a file has the name of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - for a million names


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or is left over by an operating system."""
    return name.startswith(".") or name in JUNK


def visible(folder: Path) -> list[Path]:
    """The entries of a folder that are not hidden, sorted by name.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None


def has_images(folder: Path) -> bool:
    """Whether an image is somewhere under a folder."""
    return any(names for _, names in _walk(folder, Counter()))


def read(root: Path, level: str | None) -> ClassFolders:
    """Find the images in class folders, and the class of each.

    A class is a folder in `root`, with everything below it. Folders that hold all others (`train/train/`) are
    passed through.

    Args:
        root: the folder of class folders.
        level: `outer`: classes are the folders in `root`; `inner`: those that images lie in; None: whichever
            of the two can be meant.

    Raises:
        UserError: there are no class folders or no images, or both levels could be the classes.
    """
    left_out: Counter[str] = Counter()
    images = {folder: names for folder, names in _walk(root, left_out) if names}
    flat = images.pop("", [])
    if not images:
        raise _without_classes(root, len(flat))
    if flat:
        left_out["images outside the class folders"] += len(flat)
    folders = {path.name for path in visible(root) if path.is_dir()}
    empty = sorted(folders - {folder.split("/")[0] for folder in images})
    if empty:
        left_out[f"folders without images: {_some(empty)}"] = len(empty)
    class_of = _classes(root, tuple(images), level)
    by_class: dict[str, list[str]] = {}
    for folder, names in images.items():
        by_class.setdefault(class_of[folder], []).extend(f"{folder}/{name}" for name in names)
    classes = sorted(by_class)
    labels = np.repeat(np.arange(len(classes)), [len(by_class[name]) for name in classes])
    ordered = [name for found in classes for name in sorted(by_class[found])]
    return ClassFolders(FileStore(root, ordered), labels, tuple(classes), left_out)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[tuple[str, list[str]]]:
    """Folders under `root`, as paths relative to it, with the names of their images; links are followed."""
    pending = [("", os.path.realpath(root))]
    while pending:
        folder, real = pending.pop()
        images = []
        try:
            entries = list(os.scandir(root / folder))
        except OSError as error:
            raise UserError(f"{root / folder} cannot be read: {error.strerror}") from None
        for entry in entries:
            inside = f"{folder}/{entry.name}" if folder else entry.name
            if is_hidden(entry.name):
                left_out["hidden files and folders" if entry.name[0] == "." else entry.name] += 1
            elif entry.is_dir():
                target = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                if f"{real}/".startswith(f"{target}/"):
                    left_out["links to a folder around them"] += 1
                else:
                    pending.append((inside, target))
            elif not entry.is_file():
                left_out["broken links" if entry.is_symlink() else "special files"] += 1
            elif is_image(entry.name):
                images.append(entry.name)
            else:
                left_out[f"{PurePosixPath(entry.name).suffix or 'unnamed'} files"] += 1
        yield folder, images


def _classes(root: Path, folders: tuple[str, ...], level: str | None) -> Mapping[str, str]:
    """The class of each folder that has images."""
    paths = {folder: folder.split("/") for folder in folders}
    depth = _depth(list(paths.values()))
    outer = {folder: path[depth] for folder, path in paths.items()}
    inner = {folder: path[-1] for folder, path in paths.items()}
    if level is not None:
        return outer if level == "outer" else inner
    is_even = len({len(path) for path in paths.values()}) == 1
    is_hierarchy = len(set(inner.values())) == len(folders) > len(set(outer.values()))
    if is_even and is_hierarchy and len(set(outer.values())) > 1:
        raise UserError(
            f"{root} can be read in two ways: classes are {_some(outer.values())} (torchvision's reading), "
            f"or the folders inside them, {_some(inner.values())} (that of timm and datasets); add "
            "@level=outer or @level=inner to its name"
        )
    return outer


def _depth(paths: list[list[str]]) -> int:
    """Number of folders around all class folders."""
    depth = 0
    while all(len(path) > depth + 1 for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    return depth if len({path[depth] for path in paths}) > 1 else 0


def _some(names: Iterable[str]) -> str:
    found = sorted(set(names))
    return ", ".join(found[:3]) + (f", ... ({len(found)})" if len(found) > 3 else "")


def _without_classes(root: Path, images: int) -> UserError:
    if images:
        return UserError(
            f"{root} has {images:,} images but no class folders: put each image into a folder with the name "
            "of its class (docs/data.md shows how for ImageNet's validation images), or add a metadata.csv "
            "with the columns file_name and label"
        )
    return UserError(f"{root} contains no images")
