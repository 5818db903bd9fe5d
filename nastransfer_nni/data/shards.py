"""WebDataset shards: which images they have, and the label of each; indexed once and cached.

Members are grouped by the rule of the `webdataset` package: the key of a member is its path up to the first
dot of its file name, the rest is its extension, and members of one key are one sample.
"""

from __future__ import annotations

import contextlib
import json
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import digest, replacing
from nastransfer_nni.base.reading import decode, parse_json
from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES, stamp_of
from nastransfer_nni.data.stores.tar import TarStore
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError

LABEL = "cls"
"""Extension of the member that has the label, by WebDataset's convention."""
FOLDER = "folder"
"""What `@label=` takes where the folder of an image is its class."""

_RULE = 2
"""Version of the rules below; an index of another version is not used."""
_KEY = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")
_IMAGES = frozenset(IMAGE_SUFFIXES)
_META = re.compile(r"__[^/]*__($|/)")
_END = 1024
"""Bytes of the two blocks of zeros that close a tar file."""
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, Zstandard
_FIELDS = ("label", "cls", "class")


@dataclass(frozen=True)
class Index:
    """The images of some shards.

    Attributes:
        store: the images.
        labels: label of each image as a text, str [N].
        left_out: number of members and samples that are left out, by why they are.
    """

    store: TarStore
    labels: npt.NDArray[np.str_]
    left_out: Counter[str]


@dataclass(slots=True)
class _Sample:
    """Members of one key: position, size and name of each by its extension, and the text of the label's."""

    key: str
    members: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    label: str = ""

    @property
    def images(self) -> list[str]:
        """Extensions of its images."""
        return [name for name in self.members if f".{name.rpartition('.')[2]}" in _IMAGES]


@dataclass(slots=True)
class _Shard:
    """Images of one shard (position, size, name, label), its other members, and what is left out."""

    images: list[tuple[int, int, str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def index(shards: Sequence[Path], image: str | None = None, label: str | None = None) -> Index:
    """Find the images of the shards and their labels.

    Args:
        shards: paths of the tar files.
        image: extension of the images' members, or several with semicolons between them, the first that a
            sample has; None: the only one that is an image.
        label: extension of the labels' members, `json.FIELD`, or `folder`; None: `cls`, or the folder where
            the shards hold nothing but images in several folders.

    Raises:
        UserError: a shard is damaged, cut short or no tar file, a sample has several images, or an image has
            no label.
    """
    kept = cache_folder("shards") / f"{digest([stamp_of(shards), image, label, _RULE], 16)}.npz"
    if (known := _kept(kept, shards, image)) is not None:
        return known
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(partial(_read, image=image, label=label), shards))
    labels = _labels(read, shards[0].parent, label)
    rows = [(number, *row[:3]) for number, shard in enumerate(read) for row in shard.images]
    columns = list(zip(*rows, strict=True)) or [()] * 4
    with replacing(kept) as scratch, scratch.open("wb") as file:
        np.savez_compressed(
            file,
            shard=np.array(columns[0], dtype=np.int32),
            offset=np.array(columns[1], dtype=np.int64),
            size=np.array(columns[2], dtype=np.int64),
            names=np.array(columns[3], dtype=np.str_),
            labels=np.array(labels, dtype=np.str_),
            left_out=np.array(json.dumps(sum((shard.left_out for shard in read), Counter()))),
        )
    written = _kept(kept, shards, image)
    assert written is not None, "it was written just now"
    return written


def _kept(path: Path, shards: Sequence[Path], image: str | None) -> Index | None:
    """The index in a file of the cache; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            store = TarStore(
                shards, saved["shard"], saved["offset"], saved["size"], saved["names"], choice=image or ""
            )
            return Index(store, saved["labels"], Counter(json.loads(str(saved["left_out"]))))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def key_and_extension(name: str) -> tuple[str, str] | None:
    """Key and lower-case extension of a member; None where WebDataset passes over it, as over `._a.jpg`."""
    found = None if name.startswith("__") and _META.match(name) else _KEY.fullmatch(name)
    return (found[1], found[2].lower()) if found else None


def _read(shard: Path, image: str | None, label: str | None) -> _Shard:
    """The images of a shard with their labels, as far as they have some."""
    found = _Shard()
    extension = _label_extension(label)
    wanted = image.lower().split(";") if image else []
    with _tar_errors(shard):
        samples = list(_samples(shard, label, found.left_out))
    for sample in samples:
        chosen = _image(shard, sample, wanted)
        if chosen is None:
            found.left_out["samples without an image"] += 1
            continue
        found.images.append((*sample.members[chosen], sample.label))
        if len(sample.members) == 1 + (extension in sample.members):
            continue
        for name in sample.members.keys() - {chosen, extension}:
            if name in sample.images:
                found.left_out[f".{name} images beside the image of their sample"] += 1
            else:
                found.others[name] += 1
    return found


def _label_extension(label: str | None) -> str:
    """Extension of the members that have the labels; empty where folders are the labels."""
    if label == FOLDER:
        return ""
    name = (label or LABEL).lower()
    return "json" if name.startswith("json.") else name


def _image(shard: Path, sample: _Sample, wanted: list[str]) -> str | None:
    """Extension of the image of a sample: one that is wanted, else the only one without a second dot."""
    if wanted:
        return next((name for name in wanted if name in sample.members), None)
    images = sample.images
    if len(images) > 1:
        images = [name for name in images if "." not in name] or images
    if len(images) > 1:
        raise UserError(
            f"{shard}: the sample {sample.key!r} has several images ({', '.join(sorted(images))}): add "
            f"@image={min(images)} to the name of the set, or rename the files: keys end at the first dot"
        )
    return images[0] if images else None


def _samples(shard: Path, label: str | None, left_out: Counter[str]) -> Iterator[_Sample]:
    """The samples of a shard in the order of their first members.

    Members of one key usually follow each other. Where they do not, they are one sample if no extension
    occurs twice, and several samples if each has an image.
    """
    samples: dict[str, list[_Sample]] = {}
    extension = _label_extension(label)
    current: _Sample | None = None
    for tar, member in _members(shard):
        if not member.isreg():
            left_out["links and special members"] += not member.isdir()
            continue
        split = key_and_extension(member.name)
        if split is None or member.name.rpartition("/")[2].startswith("."):
            left_out["members that are hidden or without an extension"] += 1
            continue
        key, name = split
        if current is None or current.key != key:
            current = _Sample(key)
            samples.setdefault(key, []).append(current)
        if name in current.members:
            raise UserError(f"{shard}: {member.name} is there twice")
        current.members[name] = (member.offset_data, member.size, member.name)
        if name == extension:
            content = tar.extractfile(member)
            assert content is not None, "a regular file has content"
            current.label = _label(shard, member.name, content.read(), label)
    for key, parts in samples.items():
        if len(parts) == 1:
            yield parts[0]
            continue
        names = [name for part in parts for name in part.members]
        if len(set(names)) == len(names):
            merged = {name: place for part in parts for name, place in part.members.items()}
            yield _Sample(key, merged, next((part.label for part in parts if part.label), ""))
        elif all(part.images for part in parts):
            yield from parts
        else:
            raise UserError(f"{shard}: the sample {key!r} is there twice, once without an image")


def _members(shard: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a tar file, and the file for reading them."""
    with shard.open("rb") as file:
        start = file.read(8)
    if start.startswith(_COMPRESSED):
        raise UserError(f"{shard} is compressed; shards are read in place, so decompress it")
    with tarfile.open(shard, "r:") as tar:
        while member := tar.next():
            tar.members = []  # type: ignore[attr-defined]  # they would be kept
            yield tar, member
        _require_end(shard, tar)


@contextlib.contextmanager
def _tar_errors(shard: Path) -> Iterator[None]:
    """Turn what `tarfile` raises for damaged files into one line."""
    try:
        yield
    except UserError:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, LookupError, ArithmeticError) as error:
        raise UserError(f"{shard} is not a whole tar file ({error}); is it cut short?") from None


def _require_end(shard: Path, tar: tarfile.TarFile) -> None:
    """Refuse a file that ends or is damaged before the closing blocks, where `tarfile` stops silently."""
    file = tar.fileobj
    assert file is not None, "the file is open"
    file.seek(tar.offset)
    end = file.read(_END)
    if end.count(0) < _END:
        raise UserError(
            f"{shard} is cut short or damaged: it has no closing blocks after byte {tar.offset:,}"
        )
    while rest := file.read(1 << 20):
        if rest.count(0) < len(rest):
            raise UserError(
                f"{shard} has more content behind its closing blocks, which WebDataset does not read: "
                "several tar files seem to be joined"
            )


def _label(shard: Path, member: str, content: bytes, label: str | None) -> str:
    """The text of a label's member; empty if it has no label."""
    try:
        text = decode(content).strip()
        if _label_extension(label) != "json":
            return text
        value = parse_json(text)
        fields = (label or "").partition(".")[2]
        if fields:
            for name in fields.split("."):
                value = value.get(name) if isinstance(value, dict) else None
        elif isinstance(value, dict):
            found = [name for name in _FIELDS if name in value]
            if len(found) != 1:
                raise UserError(f"has the fields {', '.join(value)}: name one, as in @label=json.label")
            value = value[found[0]]
        if not isinstance(value, str | int | None):
            raise UserError("has a label that is neither a word nor a whole number")
        return "" if value is None else str(value)
    except UserError as error:
        raise UserError(f"{shard}: {member} {error}") from None


def _labels(read: Sequence[_Shard], folder: Path, label: str | None) -> list[str]:
    """The label of every image.

    Args:
        read: the shards.
        folder: the folder of the shards, for messages.
        label: the argument `label` of `index`.
    """
    names = [row[2] for shard in read for row in shard.images]
    labels = [row[3] for shard in read for row in shard.images]
    without = [name for name, text in zip(names, labels, strict=True) if not text]
    if not without:
        return labels
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
    has_folders = not {"", "."} & set(folders) and len(set(folders)) > 1
    others = sorted(set().union(*(shard.others for shard in read)))
    if has_folders and (label == FOLDER or (label is None and len(without) == len(names) and not others)):
        return folders
    extension = _label_extension(label)
    what = f".{extension} member with a label" if extension else "folder of its own class"
    hints = [f"@label={'json.FIELD' if name == 'json' else name}" for name in others if name != extension]
    hints += [f"@label={FOLDER}"] if has_folders and extension else []
    hint = f"; add {' or '.join(hints[:4])} to the name of the set to read labels there" if hints else ""
    raise UserError(
        f"{folder}: {len(without):,} of {len(names):,} images have no {what} ({without[0]} among them){hint}"
    )
