"""From a column of labels, or a text for each image, to class numbers and class names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.class_names import natural, refuse_lookalikes
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)

LABEL_NAMES = ("label", "labels", "fine_label", "class", "cls", "target")
"""Names of columns that are taken for the labels."""
_WORDS = ("string", "large_string", "bool")


def columns(source: Source, features: Any) -> tuple[str, str]:
    """The names of a table's image column and label column.

    Args:
        source: the set, which may name its columns.
        features: the table's `datasets.Features`.

    Raises:
        UserError: a column that `source` names does not exist or holds something else, or it names none and
            not exactly one fits.
    """
    import datasets

    images = [
        name
        for name, kind in features.items()
        if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and {"bytes", "path"} == set(kind))
    ]
    binary = [name for name, kind in features.items() if _dtype(kind) in ("binary", "large_binary")]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if len(labels) != 1:
        usual = [name for name in (labels or features) if name in LABEL_NAMES]
        whole = [name for name, kind in features.items() if _dtype(kind).startswith(("int", "uint"))]
        labels = usual[:1] if len(usual) == 1 else labels or usual or whole
    image = _choose(source, features, "image", images or binary)
    label = _choose(source, features, "label", labels)
    if image not in images + binary and _dtype(features[image]) not in _WORDS[:2]:
        raise UserError(f"{source.name}: the column {image!r} holds {_shown(features[image])}, not images")
    kind = features[label]
    if not isinstance(kind, datasets.ClassLabel) and not _dtype(kind).startswith(("int", "uint", *_WORDS)):
        raise UserError(
            f"{source.name}: the column {label!r} holds {_shown(kind)}; a label is one word or one whole "
            "number"
        )
    return image, label


def _choose(source: Source, features: Any, what: str, candidates: list[str]) -> str:
    named = source.image if what == "image" else source.label
    if named is not None:
        if named not in features:
            raise UserError(f"{source.name} has no column {named!r}; it has {', '.join(features)}")
        return named
    if len(candidates) != 1:
        found = f"several columns could be the {what}s" if candidates else f"no column looks like {what}s"
        kind = " or of paths of images" if what == "image" and not candidates else ""
        raise UserError(
            f"{source.name}: {found} (it has {', '.join(features)}); name it{kind} as in "
            f"{source.name}@{what}=COLUMN"
        )
    return candidates[0]


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", ""))


def _shown(kind: Any) -> str:
    """What a column holds, in words."""
    if _dtype(kind).startswith(("float", "double", "decimal")):
        return "fractional numbers"
    return "lists" if type(kind).__name__ in ("List", "LargeList", "Sequence", "list") else repr(kind)


def from_column(source: Source, split: str, store: Any, dataset: Any, label: str) -> ImageSet:
    """An image set whose labels are a column of a `datasets.Dataset`.

    Raises:
        UserError: images have no label, or a label is not a class.
    """
    import datasets
    import pyarrow.compute

    column = dataset.data.column(label)
    if column.null_count:
        raise _unlabelled(source, split, column.null_count, len(column))
    feature = dataset.features[label]
    if isinstance(feature, datasets.ClassLabel):
        return numbered(source, split, store, column.to_numpy().astype(np.int64), tuple(feature.names))
    if _dtype(feature) in _WORDS[:2]:
        encoded = pyarrow.compute.dictionary_encode(column).combine_chunks()
        indices = np.asarray(encoded.indices).astype(np.int64)
        return by_name(source, split, store, encoded.dictionary.to_pylist(), indices)
    found, labels = np.unique(column.to_numpy(), return_inverse=True)
    is_guess = source.label is None and label not in LABEL_NAMES
    if is_guess and 1 < len(found) == len(column):
        raise UserError(
            f"{source.name}: the column {label!r} differs for every image; name the column of labels "
            f"as in {source.name}@label=COLUMN"
        )
    return by_name(source, split, store, found.astype(np.str_).tolist(), labels)


def by_name(
    source: Source, split: str, store: Any, names: Sequence[str], labels: npt.NDArray[np.int64]
) -> ImageSet:
    """An image set whose labels are words or numbers: its classes are those that occur, in natural order.

    Args:
        source: the set.
        split: train, validation or test.
        store: encoded images.
        names: the different labels, [C].
        labels: index into `names` of every image, int64 [N].

    Raises:
        UserError: images have no label.
    """
    missing = [index for index, name in enumerate(names) if name in ("-1", "")]
    if missing:
        raise _unlabelled(source, split, int(np.isin(labels, missing).sum()), len(labels))
    if source.synsets and all(name.isdigit() for name in names):
        numbers = np.array(names, dtype=np.int64)
        return numbered(source, split, store, numbers[labels], tuple(map(str, range(source.classes or 0))))
    ordered = sorted(range(len(names)), key=lambda index: natural(names[index]))
    new = np.empty(len(names), dtype=np.int64)
    new[ordered] = np.arange(len(names))
    return named(source, split, store, new[labels], tuple(names[index] for index in ordered))


def named(
    source: Source, split: str, store: Any, labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> ImageSet:
    """An image set whose classes are known by their names; those of ImageNet get ImageNet's numbers.

    Raises:
        UserError: the classes of ImageNet are named by neither synsets nor numbers; else as `numbered`.
    """
    if source.synsets and len(classes) == source.classes:
        from timm.data import ImageNetInfo

        synsets = ImageNetInfo(source.synsets).label_names()
        places = {name: place for place, name in enumerate(synsets)}
        if all(name.isdecimal() for name in classes):
            places = {name: int(name) for name in classes}
        numbers = np.array([places.get(name, -1) for name in classes])
        if sorted(numbers) != list(range(len(classes))):
            raise UserError(
                f"{source.name}: its classes must be named by synsets, as {synsets[0]}, or by numbers from 0 "
                f"to {len(classes) - 1}; one is {classes[int(np.argmin(numbers))]!r}"
            )
        labels = numbers[labels]
    return numbered(source, split, store, labels, classes)


def numbered(
    source: Source, split: str, store: Any, labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> ImageSet:
    """An image set from class numbers and class names; ImageNet's classes are named by their synsets.

    Raises:
        UserError: images have no label, a label has no class, or class names look alike.
    """
    if count := int((labels < 0).sum()):
        raise _unlabelled(source, split, count, len(labels))
    if len(labels) and (high := int(labels.max())) >= len(classes):
        raise UserError(
            f"{source.name}: the {split} split has the label {high}, but only {len(classes)} classes"
        )
    refuse_lookalikes(source.name, classes)
    if source.synsets and len(classes) == source.classes:
        from timm.data import ImageNetInfo

        classes = tuple(ImageNetInfo(source.synsets).label_names())
    present = int(np.count_nonzero(np.bincount(labels, minlength=len(classes))))
    if present < len(classes) and split != "train":
        _log.warning(
            "%s: the %s split has images of only %d of %d classes", source.name, split, present, len(classes)
        )
    return ImageSet(source, split, tuple(classes), labels, store, np.arange(len(labels), dtype=np.int64))


def _unlabelled(source: Source, split: str, count: int, total: int) -> UserError:
    return UserError(f"{source.name}: the {split} split has images without a label ({count:,} of {total:,})")
