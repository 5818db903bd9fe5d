"""The manifest of a proxy set: which images were selected, from which set and how."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from nastransfer_nni.base import files
from nastransfer_nni.base.config import Config
from nastransfer_nni.base.reading import exists, parse_json, read_text
from nastransfer_nni.data import hashing
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy.changes import CHANGES, changed, copies_of, selected_of
from search_spaces.errors import UserError, unknown
from strategies.budget import Cost

INLINE = 5000
"""Largest number of images that a manifest lists itself; more are listed in a Parquet file next to it."""


_KEY = re.compile("[0-9a-f]{16}")


class SourceRecord(Config):
    """The image set that the proxy set was selected from.

    Attributes:
        name: name of the source.
        split: name of its split.
        fingerprint: fingerprint of that split, see `ImageSet.fingerprint`.
        images: number of its images.
    """

    name: str
    split: str
    fingerprint: str
    images: int


class ClassRecord(Config):
    """A class of the proxy set.

    Attributes:
        label: index of the class in the proxy set.
        images: number of its images in the proxy set.
    """

    label: int = Field(ge=0)
    images: int = Field(ge=1)


class ImageFile(Config):
    """The Parquet file next to the manifest that lists the images.

    Attributes:
        file: name of the file, with the columns label and key.
    """

    file: str

    @field_validator("file")
    @classmethod
    def _is_beside_the_manifest(cls, name: str) -> str:
        if Path(name).name != name or "\0" in name:
            raise UserError("must be the name of a file in the manifest's folder")
        return name


class Manifest(Config):
    """A proxy set.

    Attributes:
        format: mark of the file format.
        version: version of the file format; `read` also takes version 1, which called `img_size` pixels.
        source: the image set that the images were selected from.
        proxy: the short form of the steps.
        kind: the kinds of the steps, joined by `+`.
        options: options of each step, by name.
        seed: random seed of every choice.
        img_size: height and width in px that images are resized to; None: their own size.
        classes: the classes of the selected images, by name.
        fingerprint: fingerprint of the images and their classes, after changes, see `ImageSet.fingerprint`.
        changes: changes of labels or pixels that follow, see `changes.CHANGES`; absent where there is none.
        images: `all` images of these classes; or keys of the images, by class; or the file that lists them.
        scores: scores or features that steps selected by: scorer or file (`made_by`), column and fingerprint
            of the values.
        cost: what the scorers took; absent where there is none, or one whose file does not say.
        left_out: keys of images that could not be decoded and were excluded.
    """

    format: Literal["nastransfer-proxy"] = "nastransfer-proxy"
    version: Literal[2] = 2
    source: SourceRecord
    proxy: str
    kind: str
    options: tuple[dict[str, Any], ...]
    seed: int
    img_size: int | None = None
    classes: dict[str, ClassRecord]
    fingerprint: str
    images: Literal["all"] | dict[str, tuple[str, ...]] | ImageFile
    changes: tuple[Literal["labels:random", "pixels:noise", "task:rotation"], ...] = ()
    scores: tuple[dict[str, str], ...] = ()
    cost: Cost | None = None
    left_out: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sorted(record.label for record in self.classes.values()) != list(range(len(self.classes))):
            raise UserError(f"the labels of its classes must be 0 to {len(self.classes) - 1}")
        for name, keys in self.images.items() if isinstance(self.images, dict) else ():
            if name not in self.classes:
                raise unknown("class among its images", name, list(self.classes))
            for key in keys:
                if not _KEY.fullmatch(key):
                    raise UserError(f"keys of images must be 16 hexadecimal digits (got {key!r})")
        return self

    @property
    def scorer_cost(self) -> Cost | None:
        """What the scorers took; None where it is not known."""
        return self.cost if self.cost or self.scores else Cost()

    def __len__(self) -> int:
        """Number of images of the proxy set."""
        return copies_of(self.changes) * sum(record.images for record in self.classes.values())

    @property
    def num_classes(self) -> int:
        """Number of classes of the proxy set."""
        given = [classes for name in self.changes if (classes := CHANGES[name].classes)]
        return given[-1] if given else len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the order of their labels."""
        return tuple(sorted(self.classes, key=lambda name: self.classes[name].label))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a manifest of this version or version 1.

        Raises:
            UserError: the file is missing or is no manifest, or its file of images is missing.
        """
        path = Path(path)
        if not exists(path):
            raise UserError(f"no proxy manifest {str(path)!r}")
        try:
            manifest = cls.create(_upgraded(parse_json(read_text(path))))
        except UserError as error:
            raise UserError(f"{path} is no proxy manifest: {str(error).removeprefix('--')}") from None
        if isinstance(manifest.images, ImageFile) and not (path.parent / manifest.images.file).is_file():
            raise UserError(f"{path}: its file of images, {manifest.images.file}, is missing")
        return manifest

    def listed(self, folder: Path) -> tuple[npt.NDArray[np.int64], hashing.Keys]:
        """The images that the manifest lists.

        Args:
            folder: the manifest's folder.

        Returns:
            Label and key of every image, int64 [N] and uint64 [N]; empty where `images` is `all`.

        Raises:
            UserError: the file of images cannot be read.
        """
        if isinstance(self.images, ImageFile):
            import pyarrow.parquet  # slow to import

            path = folder / self.images.file
            try:
                table = pyarrow.parquet.read_table(path, columns=["label", "key"])
                labels, keys = (
                    table[name].combine_chunks().cast(kind).to_numpy(zero_copy_only=True)  # refuses nulls
                    for name, kind in (("label", pyarrow.int64()), ("key", pyarrow.uint64()))
                )
            except (OSError, KeyError, pyarrow.ArrowException) as error:
                raise UserError(f"{path} does not list images of a proxy set ({error})") from None
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise UserError(f"{path} lists labels that are none of the {len(self.classes)} classes")
            return labels, keys
        named = {} if self.images == "all" else self.images
        pairs = [(self.classes[name].label, int(key, 16)) for name, keys in named.items() for key in keys]
        return np.array([label for label, _ in pairs], dtype=np.int64), np.array(
            [key for _, key in pairs], dtype=np.uint64
        )

    def apply(self, images: ImageSet, folder: Path) -> ImageSet:
        """Select the images of the proxy set from their source.

        Args:
            images: the source's split, in any storage format and order.
            folder: the manifest's folder.

        Returns:
            The images of the proxy set with its labels, in canonical order.

        Raises:
            UserError: the source is not the one that the manifest was made from.
        """
        missing = [name for name in self.classes if name not in images.classes]
        if missing:
            raise self._misfit(images, f"it has no class {missing[0]!r}")
        kept = images.relabel(self.names)
        if self.images != "all":
            labels, keys = self.listed(folder)
            rows, found = match(tokens(labels, keys), tokens(kept.labels, kept.keys))
            if not found.all():
                raise self._misfit(images, f"{(~found).sum()} of the {len(self)} images are not in it")
            kept = kept.select(rows)
        kept = changed(kept.select(np.lexsort((kept.keys, kept.labels))), self.changes, self.seed)
        if images.fingerprint != self.source.fingerprint or kept.fingerprint != self.fingerprint:
            raise self._misfit(images, "its images are not the same")
        return kept.resized(self.img_size) if self.img_size else kept

    def _misfit(self, images: ImageSet, problem: str) -> UserError:
        return UserError(
            f"the proxy was made from {self.source.name} {self.source.split} with fingerprint "
            f"{self.source.fingerprint}, this {images.name} {images.split} has "
            f"{images.fingerprint}: {problem}"
        )


def _upgraded(content: Any) -> dict[str, Any]:
    """The content of a manifest file by the names of the current version.

    Raises:
        UserError: the content is no JSON object, or was written by a newer release.
    """
    if not isinstance(content, dict):
        raise UserError("it is not a JSON object")
    version = content.get("version")
    if version == 1:
        upgraded = {**_renamed(content), "version": 2}
        if isinstance(options := content.get("options"), list):
            upgraded["options"] = [_renamed(step) if isinstance(step, dict) else step for step in options]
        return upgraded
    if isinstance(version, int) and version > 2:
        raise UserError(f"version {version} is newer than this release, which reads versions 1 and 2")
    return content


def _renamed(content: dict[str, Any]) -> dict[str, Any]:
    return {"img_size" if name == "pixels" else name: value for name, value in content.items()}


def tokens(labels: npt.NDArray[np.int64], keys: hashing.Keys) -> hashing.Keys:
    """One number for label and key together.

    Args:
        labels: labels of images, int64 [N].
        keys: keys of the images, uint64 [N].

    Returns:
        A hash of both for every image, uint64 [N].
    """
    return hashing.mix(keys + hashing.mix(labels.astype(np.uint64)))


def match(wanted: hashing.Keys, available: hashing.Keys) -> tuple[hashing.Rows, npt.NDArray[np.bool_]]:
    """Find numbers in an array; equal numbers are matched to different positions, as far as there are any.

    Args:
        wanted: the numbers to find, uint64 [n].
        available: the array to find them in, uint64 [N].

    Returns:
        Positions in `available`, int64 [n], and whether each number was found, bool [n].
    """
    if not len(available):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    by_value = np.argsort(available, kind="stable")
    ordered = np.argsort(wanted, kind="stable")
    values = wanted[ordered]
    position = np.empty(len(wanted), dtype=np.int64)
    position[ordered] = np.searchsorted(available[by_value], values)
    position[ordered] += np.arange(len(wanted)) - np.searchsorted(values, values)  # the second of two equals
    inside = np.minimum(position, len(available) - 1)
    rows = by_value[inside]
    return rows, (position == inside) & (available[rows] == wanted)


def write(manifest: Manifest, chosen: ImageSet, path: Path) -> None:
    """Write a manifest, and a Parquet file with its images if they are more than `INLINE`.

    Args:
        manifest: the manifest.
        chosen: images of the proxy set, in canonical order.
        path: path of the manifest, a .json file; the Parquet file is put next to it.
    """
    if isinstance(manifest.images, ImageFile):
        import pyarrow  # slow to import
        import pyarrow.parquet

        image_file = path.with_suffix(".images.parquet")
        listed = selected_of(chosen)
        table = pyarrow.table({"label": listed.labels.astype(np.int32), "key": listed.keys})
        with files.replacing(image_file) as scratch:
            pyarrow.parquet.write_table(table, scratch, compression="zstd")
        manifest = manifest.model_copy(update={"images": ImageFile(file=image_file.name)})
    absent = {name for name in ("changes", "cost") if not getattr(manifest, name)}
    content = manifest.model_dump(mode="json", exclude=absent)
    text = json.dumps(content, ensure_ascii=False, indent=1)
    files.write_text(path, text + "\n")
