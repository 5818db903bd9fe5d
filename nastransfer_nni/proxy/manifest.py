"""The manifest of a proxy set: what was chosen, from what and how, by names that hold everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nastransfer_nni.base import files
from nastransfer_nni.base.config import Config
from nastransfer_nni.data import hashing
from nastransfer_nni.data.image_set import ImageSet
from search_spaces.errors import UserError

INLINE = 5000


class SourceRecord(Config):
    """The set that the images were chosen from."""

    name: str
    split: str
    fingerprint: str
    images: int


class ClassRecord(Config):
    """A class that was kept."""

    label: int = Field(ge=0)
    images: int = Field(ge=1)


class ImageFile(Config):
    """The Parquet file with the chosen images, beside the manifest."""

    file: str


class Manifest(Config):
    """A proxy set.

    Attributes:
        source: what the images were chosen from.
        proxy: the short form that was asked for.
        kind: its kinds, joined by `+`.
        options: the options of every step.
        seed: of every random choice.
        pixels: height and width that images are brought to; None: their own.
        classes: the classes kept, by name, with their new labels and number of images.
        fingerprint: of the chosen images and their classes.
        images: `all` images of these classes, or keys by class, or the file that has them.
        scores: the scores or features that steps chose by, with their fingerprints.
        left_out: keys of images that could not be read and were left out.
    """

    format: Literal["nastransfer-proxy"] = "nastransfer-proxy"
    version: Literal[1] = 1
    source: SourceRecord
    proxy: str
    kind: str
    options: tuple[dict[str, Any], ...]
    seed: int
    pixels: int | None = None
    classes: dict[str, ClassRecord]
    fingerprint: str
    images: Literal["all"] | dict[str, tuple[str, ...]] | ImageFile
    scores: tuple[dict[str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(record.images for record in self.classes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The classes kept, in the order of their new labels."""
        return tuple(sorted(self.classes, key=lambda name: self.classes[name].label))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a manifest; the file of images is looked for beside it.

        Raises:
            UserError: the file is missing, is no manifest, or its file of images has changed.
        """
        path = Path(path)
        try:
            manifest = cls.create(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"no proxy manifest {str(path)!r}") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{path} is no proxy manifest ({error})") from None
        except UserError as error:
            raise UserError(f"{path} is no proxy manifest: {str(error).removeprefix('--')}") from None
        if sorted(record.label for record in manifest.classes.values()) != list(range(len(manifest.classes))):
            raise UserError(f"{path}: the labels of its classes must be 0 to {len(manifest.classes) - 1}")
        if isinstance(manifest.images, ImageFile) and not (path.parent / manifest.images.file).is_file():
            raise UserError(
                f"{path}: its images are in {path.parent / manifest.images.file}, which is missing"
            )
        return manifest

    def listed(self, folder: Path) -> tuple[npt.NDArray[np.int64], hashing.Keys]:
        """New label and key of every chosen image, as listed; none where all images are chosen."""
        if isinstance(self.images, ImageFile):
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(folder / self.images.file)
            return table["label"].to_numpy().astype(np.int64), table["key"].to_numpy()
        named = {} if self.images == "all" else self.images
        pairs = [(self.classes[name].label, int(key, 16)) for name, keys in named.items() for key in keys]
        return np.array([label for label, _ in pairs], dtype=np.int64), np.array(
            [key for _, key in pairs], dtype=np.uint64
        )

    def apply(self, images: ImageSet, folder: Path) -> ImageSet:
        """The chosen images of their source, with their new labels, in canonical order.

        Args:
            images: the source's split, in any form.
            folder: where the manifest lies.

        Raises:
            UserError: the source is not the one that the manifest was made from.
        """
        unknown = [name for name in self.classes if name not in images.classes]
        if unknown:
            raise self._misfit(images, f"it has no class {unknown[0]!r}")
        kept = images.relabel(self.names)
        if self.images != "all":
            labels, keys = self.listed(folder)
            rows, found = match(tokens(labels, keys), tokens(kept.labels, kept.keys))
            if not found.all():
                raise self._misfit(images, f"{(~found).sum()} of the {len(self)} chosen images are not in it")
            kept = kept.select(rows)
        if images.fingerprint != self.source.fingerprint or kept.fingerprint != self.fingerprint:
            raise self._misfit(images, "its images are not the same")
        kept = kept.select(np.lexsort((kept.keys, kept.labels)))
        return kept.resized(self.pixels) if self.pixels else kept

    def _misfit(self, images: ImageSet, problem: str) -> UserError:
        return UserError(
            f"the proxy was made from {self.source.name} {self.source.split} with fingerprint "
            f"{self.source.fingerprint}, this {images.name} {images.split} has "
            f"{images.fingerprint}: {problem}"
        )


def tokens(labels: npt.NDArray[np.int64], keys: hashing.Keys) -> hashing.Keys:
    """One number for label and key together, uint64 [N]."""
    return hashing.mix(keys + hashing.mix(labels.astype(np.uint64)))


def match(wanted: hashing.Keys, there: hashing.Keys) -> tuple[hashing.Rows, npt.NDArray[np.bool_]]:
    """Find each wanted number; one that is wanted twice is found twice, if it is there twice.

    Returns:
        Positions in `there`, and whether each was found.
    """
    by_value = np.argsort(there, kind="stable")
    ordered = np.argsort(wanted, kind="stable")
    values = wanted[ordered]
    place = np.empty(len(wanted), dtype=np.int64)
    place[ordered] = np.searchsorted(there[by_value], values)
    place[ordered] += np.arange(len(wanted)) - np.searchsorted(values, values)  # the second of two equals
    inside = np.minimum(place, len(there) - 1)
    rows = by_value[inside]
    return rows, (place == inside) & (there[rows] == wanted)


def write(manifest: Manifest, chosen: ImageSet, path: Path) -> None:
    """Write a manifest, with its images in a Parquet file beside it where they are many.

    Args:
        manifest: what was chosen.
        chosen: its images, in canonical order.
        path: ends in `.json`.
    """
    if isinstance(manifest.images, ImageFile):
        import pyarrow
        import pyarrow.parquet

        beside = path.with_suffix(".images.parquet")
        table = pyarrow.table({"label": chosen.labels.astype(np.int32), "key": chosen.keys})
        with files.replacing(beside) as scratch:
            pyarrow.parquet.write_table(table, scratch, compression="zstd")
        manifest = manifest.model_copy(update={"images": ImageFile(file=beside.name)})
    text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1)
    files.write_text(path, text + "\n")
