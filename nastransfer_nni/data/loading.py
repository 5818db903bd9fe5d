"""Open an image set, in whatever form this machine has it, else from the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.image_set import ImageSet, natural
from nastransfer_nni.data.sources import SPLITS, Source, local_folder
from nastransfer_nni.data.splits import split as stratified_split
from nastransfer_nni.data.stores.arrow import ArrowStore
from nastransfer_nni.data.stores.base import IMAGE_SUFFIXES, stamp_of
from nastransfer_nni.data.stores.files import FileStore
from nastransfer_nni.data.stores.memory import MemoryStore
from nastransfer_nni.data.stores.tar import TarStore
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)

_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_LABEL_NAMES = ("label", "labels", "fine_label", "class", "cls", "target")


def load(source: Source, split: str = "train") -> ImageSet:
    """Open one split of an image set.

    Args:
        source: the set, from `sources.check`.
        split: train, validation or test, whatever the set itself calls it.

    Raises:
        UserError: the set, the split or a column does not exist; the message says what does, or how to get
            the set.
    """
    folder = local_folder(source)
    if folder is not None:
        images = _from_folder(source, folder, split)
    elif source.name == "digits":
        images = _digits(source, split)
    else:
        images = _from_hub(source, split)
    if len(images) == 0:
        raise UserError(f"{source.text}: the {split} split has no images")
    return images


def splits(source: Source) -> tuple[str, ...]:
    """Which of train, validation and test the set has, without opening them.

    Raises:
        UserError: the Hub does not have the set, or does not give it.
    """
    folder = local_folder(source)
    if folder is not None:
        found = _local_splits(folder)
    elif source.splits:
        return tuple(source.splits)
    else:
        found = _hub_splits(source)
    return tuple(ours for ours in SPLITS if _match(ours, found))


def _match(split: str, found: Sequence[str]) -> str | None:
    return next((name for name in found if name.lower() in _SYNONYMS[split]), None)


def _pick(source: Source, split: str, found: Sequence[str]) -> str:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    picked = _match(split, found)
    if picked is None:
        available = (
            ", ".join(name for name in SPLITS if _match(name, found)) or f"none of {', '.join(SPLITS)}"
        )
        raise UserError(f"{source.name} has no {split} split; it has {available}")
    return picked


# Local forms


def _local_splits(folder: Path) -> tuple[str, ...]:
    """The splits in a folder, by their own names; a folder without splits is all `train`."""
    named = set()
    for entry in [*folder.iterdir(), *((folder / "data").iterdir() if (folder / "data").is_dir() else ())]:
        if entry.is_dir() or entry.suffix in (".parquet", ".tar"):
            named |= set(re.split(r"[^a-z]+", entry.name.lower()))
    found = tuple(name for names in _SYNONYMS.values() for name in names if name in named)
    return found or ("train",)


def _from_folder(source: Source, folder: Path, split: str) -> ImageSet:
    theirs = _pick(source, split, _local_splits(folder))
    inside = next((path for path in folder.iterdir() if path.is_dir() and path.name.lower() == theirs), None)

    def files(suffix: str) -> list[Path]:
        """Files of the split, in a folder of its own or with its name in theirs."""
        own = sorted((inside or folder).glob(f"*{suffix}"))
        if inside is not None or theirs not in _named(own):
            return own
        return [path for path in own if theirs in _named([path])]

    saved = inside or folder
    if (saved / "state.json").is_file():
        return _from_saved(source, split, saved)
    if parquet := files(".parquet") or _parts(folder / "data", theirs):
        return _from_parquet(source, split, parquet)
    if shards := files(".tar"):
        store, words = TarStore.index(shards)
        return _named_labels(source, split, store, words)
    if not any(path.is_dir() for path in saved.iterdir()):
        raise UserError(
            f"{saved} contains no images: expected {split}.parquet, {split}-*.tar, a saved data set, or a "
            f"folder per class with files {', '.join(IMAGE_SUFFIXES[:4])}, ..."
        )
    files_found, labels, classes = FileStore.scan(saved)
    return _finish(source, split, files_found, labels, classes)


def _named(paths: Sequence[Path]) -> set[str]:
    return {word for path in paths for word in re.split(r"[^a-z]+", path.name.lower())}


def _parts(folder: Path, split: str) -> list[Path]:
    """Files such as `data/train-00000-of-00002.parquet`, the layout of a repository on the Hub."""
    return sorted(path for path in folder.glob("*.parquet") if split in _named([path]))


def _from_saved(source: Source, split: str, folder: Path) -> ImageSet:
    import datasets

    try:
        dataset = datasets.Dataset.load_from_disk(str(folder))
    except (OSError, KeyError, TypeError, ValueError) as error:  # all of these for damaged or missing files
        raise UserError(f"{folder} is not a data set saved by `datasets` ({_first_line(error)})") from error
    return _from_dataset(source, split, dataset)


def _from_parquet(source: Source, split: str, files: Sequence[Path]) -> ImageSet:
    import datasets
    import pyarrow
    from pyarrow import parquet

    for file in files:
        try:
            parquet.read_schema(file)
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{file} is not a Parquet file ({_first_line(error)})") from error
    names = [str(file) for file in files]
    if source.stream or _too_big(sum(file.stat().st_size for file in files)):
        open_stream = partial(
            datasets.load_dataset, "parquet", data_files=names, split="train", streaming=True
        )
        return _from_stream(source, split, open_stream, stamp_of(files))
    shown = not datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()  # local files are read quickly; a download keeps its bar
    try:
        return _from_dataset(source, split, datasets.load_dataset("parquet", data_files=names, split="train"))
    finally:
        if shown:
            datasets.enable_progress_bars()


# The Hub


def _hub_splits(source: Source) -> tuple[str, ...]:
    import datasets

    with _hub_errors(source, ValueError):
        return tuple(datasets.get_dataset_split_names(source.hub, source.config))


def _from_hub(source: Source, split: str) -> ImageSet:
    import datasets

    theirs = source.splits.get(split) or _pick(source, split, tuple(source.splits) or _hub_splits(source))
    with _hub_errors(source, ValueError):  # for example a configuration that does not exist
        builder = datasets.load_dataset_builder(source.hub, source.config)
    with _hub_errors(source):
        size = (builder.info.download_size or 0) + (builder.info.dataset_size or 0)
        is_here = Path(builder.cache_dir).is_dir()
        open_stream = partial(datasets.load_dataset, source.hub, source.config, split=theirs, streaming=True)
        if source.stream or (not is_here and _too_big(size or source.gigabytes * 10**9)):
            return _from_stream(source, split, open_stream, f"{source.hub}:{builder.hash}:{theirs}")
        if not is_here:  # so that a wrong column is refused before the download
            columns(source, builder.info.features or open_stream()._resolve_features().features)
        dataset = datasets.load_dataset(source.hub, source.config, split=theirs)
    return _from_dataset(source, split, dataset)


# Streams


def _too_big(size: int) -> bool:
    """Whether a set of `size` bytes does not fit the disk of the `datasets` cache."""
    import shutil

    import datasets

    cache = Path(datasets.config.HF_DATASETS_CACHE)
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    return size > shutil.disk_usage(existing).free


def _from_stream(source: Source, split: str, open_stream: Callable[[], Any], stamp: str) -> ImageSet:
    from nastransfer_nni.data.stores.stream import StreamStore

    features = open_stream()._resolve_features().features
    image, label = columns(source, features)
    store = StreamStore(open_stream, image, label, f"{source.name} {split}", stamp, source.identifier)
    names = getattr(features[label], "names", None)
    if names:
        return _finish(source, split, store, store.words.astype(np.int64), tuple(names))
    return _named_labels(source, split, store, store.words)


@contextlib.contextmanager
def _hub_errors(source: Source, *others: type[Exception]) -> Iterator[None]:
    """Turn errors of the Hub's client into one line that says how to get the set.

    Args:
        source: the set.
        others: exceptions that the client raises besides, in a block that calls the client only.
    """
    import datasets
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would warn of every retry
    try:
        yield
    except (OSError, HfHubHTTPError, datasets.exceptions.DatasetsError, *others) as error:
        problem = f"{type(error).__name__}: {_first_line(error)}"
        # `datasets` drops the cause and says it in words only
        is_gated = isinstance(error, GatedRepoError) or "is a gated dataset" in str(error)
        if isinstance(error, ConnectionError):
            problem = "it cannot be reached"
        elif is_gated:
            source, problem = replace(source, gated=True), "it is gated"
        elif isinstance(error, datasets.exceptions.DatasetNotFoundError):
            problem = "there is no such set, or it is private"
        raise UserError(
            f"cannot get {source.name} from the Hugging Face Hub ({problem}): {source.how_to_get}; "
            f"or put it under $NASTRANSFER_DATA/{source.name}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# Columns and labels


def _from_dataset(source: Source, split: str, dataset: Any) -> ImageSet:
    image, label = columns(source, dataset.features)
    import datasets

    feature = dataset.features[label]
    store = ArrowStore(dataset, image)
    values = dataset.data.column(label).to_numpy()
    if isinstance(feature, datasets.ClassLabel):
        return _finish(source, split, store, values.astype(np.int64), tuple(feature.names))
    return _named_labels(source, split, store, values.astype(np.str_))


def columns(source: Source, features: Any) -> tuple[str, str]:
    """The names of a table's image column and label column.

    Args:
        source: the set, which may name its columns.
        features: the table's `datasets.Features`.

    Raises:
        UserError: a column that `source` names does not exist, or it names none and not exactly one fits.
    """
    import datasets

    def choose(what: str, named: str | None, candidates: list[str]) -> str:
        if named is not None:
            if named not in features:
                raise UserError(f"{source.name} has no column {named!r}; it has {', '.join(features)}")
            return named
        if len(candidates) != 1:
            found = f"several columns could be the {what}s" if candidates else f"no column looks like {what}s"
            raise UserError(
                f"{source.name}: {found} (it has {', '.join(features)}); name it as in "
                f"{source.name}@{what}=COLUMN"
            )
        return candidates[0]

    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    binary = [name for name, kind in features.items() if getattr(kind, "dtype", "") == "binary"]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if len(labels) != 1:
        usual = [name for name in (labels or features) if name in _LABEL_NAMES]
        whole = [name for name, kind in features.items() if getattr(kind, "dtype", "").startswith("int")]
        labels = usual[:1] if len(usual) == 1 else labels or usual or whole
    return choose("image", source.image, images or binary), choose("label", source.label, labels)


def _named_labels(source: Source, split: str, store: Any, words: npt.NDArray[np.str_]) -> ImageSet:
    """An image set whose labels are words or numbers: its classes are those that occur, in natural order."""
    found, labels = np.unique(words, return_inverse=True)
    names = found.tolist()
    if "-1" in names:
        raise UserError(f"{source.name}: the {split} split has images without a label")
    if source.synsets and all(name.isdigit() for name in names):
        numbers = found.astype(np.int64)
        return _finish(source, split, store, numbers[labels], tuple(map(str, range(source.classes or 0))))
    ordered = sorted(range(len(names)), key=lambda index: natural(names[index]))
    new = np.empty(len(names), dtype=np.int64)
    new[ordered] = np.arange(len(names))
    return _finish(source, split, store, new[labels], tuple(names[index] for index in ordered))


def _finish(
    source: Source, split: str, store: Any, labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> ImageSet:
    if len(labels) and labels.min() < 0:
        raise UserError(f"{source.name}: the {split} split has images without a label")
    if source.synsets and len(classes) == source.classes:
        from timm.data import ImageNetInfo

        classes = tuple(ImageNetInfo(source.synsets).label_names())
    present = int(np.count_nonzero(np.bincount(labels, minlength=len(classes))))
    if present < len(classes) and split != "train":
        _log.warning(
            "%s: the %s split has images of only %d of %d classes", source.name, split, present, len(classes)
        )
    return ImageSet(source, split, classes, labels, store, np.arange(len(labels), dtype=np.int64))


def _digits(source: Source, split: str) -> ImageSet:
    """The 1,797 scans of 8x8 pixels of scikit-learn; a fixed fifth of each class is the test split."""
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    _pick(source, split, tuple(source.splits))
    scans = load_digits()
    labels = scans.target.astype(np.int64)
    train, test = stratified_split(labels, (0.8, 0.2), seed=0)
    contents = []
    for scan in scans.images:
        file = io.BytesIO()
        Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8)).save(file, "PNG")
        contents.append(file.getvalue())
    classes = tuple(str(name) for name in scans.target_names)
    images = _finish(source, split, MemoryStore(contents), labels, classes)
    return images.select(train if split == "train" else test)
