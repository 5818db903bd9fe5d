"""Open an image set by name, from whatever form it has on this machine, else from the Hugging Face Hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data import splits as parts
from nastransfer_nni.data.image_set import ImageSet, natural
from nastransfer_nni.data.sources import SPLITS, Source, check, local_folder
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


def load(name: Source | str, split: str = "train") -> ImageSet:
    """Open one split of an image set.

    Args:
        name: a known name, `owner/name` on the Hub or a folder; columns behind an `@` where a set has
            several that could be meant (`cifar100@label=coarse_label`).
        split: train, validation or test, by whatever name the set has it.

    Raises:
        UserError: the set, the split or a column is not there; says what is, or how to get the set.
    """
    source = check(name) if isinstance(name, str) else name
    folder = local_folder(source)
    if folder is not None:
        images = _from_folder(source, folder, split)
    elif source.name == "digits":
        images = _digits(source, split)
    else:
        images = _from_hub(source, split)
    if len(images) == 0:
        raise UserError(f"{name}: its {split} split has no image")
    return images


def splits(name: Source | str) -> tuple[str, ...]:
    """Which of train, validation and test the set has, without opening them."""
    source = check(name) if isinstance(name, str) else name
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
        there = ", ".join(ours for ours in SPLITS if _match(ours, found)) or "none of train, validation, test"
        raise UserError(f"{source.name} has no {split} split; it has {there}")
    return picked


# Local forms


def _local_splits(folder: Path) -> tuple[str, ...]:
    """Names of the splits in a folder, whichever form it has; a folder without any counts as train."""
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
        """Files of the split: in its own folder, or named for it."""
        own = sorted((inside or folder).glob(f"*{suffix}"))
        if inside is not None or theirs not in _named(own):
            return own
        return [path for path in own if theirs in _named([path])]

    saved = inside or folder
    if (saved / "state.json").is_file():
        import datasets

        return _from_dataset(source, split, datasets.Dataset.load_from_disk(str(saved)))
    if parquet := files(".parquet") or _parts(folder / "data", theirs):
        return _from_parquet(source, split, parquet)
    if shards := files(".tar"):
        store, words = TarStore.index(shards)
        return _named_labels(source, split, store, words)
    if not any(path.is_dir() for path in saved.iterdir()):
        raise UserError(
            f"{saved} holds no images: expected {split}.parquet, {split}-*.tar, a saved data set, or a "
            f"folder per class with files {', '.join(IMAGE_SUFFIXES[:4])}, ..."
        )
    files_found, labels, classes = FileStore.scan(saved)
    return _finish(source, split, files_found, labels, classes)


def _named(paths: Sequence[Path]) -> set[str]:
    return {word for path in paths for word in re.split(r"[^a-z]+", path.name.lower())}


def _parts(folder: Path, split: str) -> list[Path]:
    """`data/train-00000-of-00002.parquet`, the layout of a repository on the Hub."""
    return sorted(path for path in folder.glob("*.parquet") if split in _named([path]))


def _from_parquet(source: Source, split: str, files: Sequence[Path]) -> ImageSet:
    import datasets

    names = [str(file) for file in files]
    if source.stream or _too_big(sum(file.stat().st_size for file in files)):
        open_stream = partial(
            datasets.load_dataset, "parquet", data_files=names, split="train", streaming=True
        )
        return _from_stream(source, split, open_stream, stamp_of(files))
    shown = not datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()  # local files are soon read; a download keeps its bar
    try:
        return _from_dataset(source, split, datasets.load_dataset("parquet", data_files=names, split="train"))
    finally:
        if shown:
            datasets.enable_progress_bars()


# The Hub


def _hub_splits(source: Source) -> tuple[str, ...]:
    import datasets

    with _hub_errors(source):
        return tuple(datasets.get_dataset_split_names(source.hub, source.config))


def _from_hub(source: Source, split: str) -> ImageSet:
    import datasets

    theirs = source.splits.get(split) or _pick(source, split, tuple(source.splits) or _hub_splits(source))
    with _hub_errors(source):
        builder = datasets.load_dataset_builder(source.hub, source.config)
        size = (builder.info.download_size or 0) + (builder.info.dataset_size or 0)
        is_here = Path(builder.cache_dir).is_dir()
        open_stream = partial(datasets.load_dataset, source.hub, source.config, split=theirs, streaming=True)
        if source.stream or (not is_here and _too_big(size or source.gigabytes * 10**9)):
            return _from_stream(source, split, open_stream, f"{source.hub}:{builder.hash}:{theirs}")
        if not is_here:  # a wrong column is better known before the download
            columns(source, builder.info.features or open_stream()._resolve_features().features)
        dataset = datasets.load_dataset(source.hub, source.config, split=theirs)
    return _from_dataset(source, split, dataset)


# Streams


def _too_big(size: int) -> bool:
    """Whether a set of this many bytes does not fit where `datasets` keeps what it has prepared."""
    import shutil

    import datasets

    cache = Path(datasets.config.HF_DATASETS_CACHE)
    there = next(path for path in (cache, *cache.parents) if path.exists())
    return size > shutil.disk_usage(there).free


def _from_stream(source: Source, split: str, open_stream: Callable[[], Any], stamp: str) -> ImageSet:
    from nastransfer_nni.data.stores.stream import StreamStore

    features = open_stream()._resolve_features().features
    image, label = columns(source, features)
    store = StreamStore(open_stream, image, label, f"{source.name} {split}", stamp, source.identifier)
    names = getattr(features[label], "names", None)
    if names:
        return _finish(source, split, store, store.words.astype(np.int64), tuple(names))
    return _named_labels(source, split, store, store.words)


class _hub_errors:
    """Turn what the Hub's client says and raises into one line that says how to get the set."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of every retry

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, UserError):
            return
        import datasets
        from huggingface_hub.errors import GatedRepoError

        source, problem = self._source, type(error).__name__
        # `datasets` drops the cause and says it in words alone.
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
    """The image column and the label column of a table.

    Raises:
        UserError: a column that was asked for is missing, or several could be meant.
    """
    import datasets

    def choose(what: str, asked: str | None, candidates: list[str]) -> str:
        if asked is not None:
            if asked not in features:
                raise UserError(f"{source.name} has no column {asked!r}; it has {', '.join(features)}")
            return asked
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
    """Labels that are words or bare numbers: the classes are those that occur, in natural order."""
    found, labels = np.unique(words, return_inverse=True)
    names = found.tolist()
    if "-1" in names:
        raise UserError(f"{source.name}: its {split} split has images without a label")
    if source.synsets and all(name.isdigit() for name in names):
        numbers = found.astype(np.int64)
        return _finish(source, split, store, numbers[labels], tuple(map(str, range(source.classes or 0))))
    ordered = sorted(range(len(names)), key=lambda place: natural(names[place]))
    new = np.empty(len(names), dtype=np.int64)
    new[ordered] = np.arange(len(names))
    return _finish(source, split, store, new[labels], tuple(names[place] for place in ordered))


def _finish(
    source: Source, split: str, store: Any, labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> ImageSet:
    if len(labels) and labels.min() < 0:
        raise UserError(f"{source.name}: its {split} split has images without a label")
    if source.synsets and len(classes) == source.classes:
        from timm.data import ImageNetInfo

        classes = tuple(ImageNetInfo(source.synsets).label_names())
    present = int(np.count_nonzero(np.bincount(labels, minlength=len(classes))))
    if present < len(classes) and split != "train":
        _log.warning(
            "%s: its %s split has images of only %d of %d classes", source.name, split, present, len(classes)
        )
    return ImageSet(source, split, classes, labels, store, np.arange(len(labels), dtype=np.int64))


def _digits(source: Source, split: str) -> ImageSet:
    """scikit-learn's 1,797 scans of 8x8 pixels; a fifth of each class, fixed once and for all, is test."""
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    _pick(source, split, tuple(source.splits))
    scans = load_digits()
    labels = scans.target.astype(np.int64)
    train, test = parts.split(labels, (0.8, 0.2), seed=0)
    contents = []
    for scan in scans.images:
        file = io.BytesIO()
        Image.fromarray(np.round(scan * (255 / 16)).astype(np.uint8)).save(file, "PNG")
        contents.append(file.getvalue())
    classes = tuple(str(name) for name in scans.target_names)
    images = _finish(source, split, MemoryStore(contents), labels, classes)
    return images.select(train if split == "train" else test)
