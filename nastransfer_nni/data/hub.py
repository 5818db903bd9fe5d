"""Image sets of the Hugging Face Hub, and sets that do not fit the disk."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nastransfer_nni.data import labels, parts
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from nastransfer_nni.data.stores.arrow import ArrowStore
from search_spaces.errors import UserError


def splits(source: Source) -> tuple[str, ...]:
    """The Hub's names of the splits of a set.

    Raises:
        UserError: the Hub does not have the set, or does not give it.
    """
    import datasets  # slow to import

    with _errors(source, ValueError):
        return tuple(datasets.get_dataset_split_names(source.hub, source.config))


def load(source: Source, split: str) -> ImageSet:
    """Open one split of a set of the Hub; it is downloaded if need be.

    Raises:
        UserError: the Hub does not give the set, or the set does not have the split or a column.
    """
    import datasets

    theirs = source.splits.get(split) or parts.pick(
        source.name, split, tuple(source.splits) or splits(source)
    )
    with _errors(source, ValueError):  # for example a configuration that does not exist
        builder = datasets.load_dataset_builder(source.hub, source.config)
    with _errors(source):
        size = (builder.info.download_size or 0) + (builder.info.dataset_size or 0)
        is_here = Path(builder.cache_dir).is_dir()
        open_stream = partial(datasets.load_dataset, source.hub, source.config, split=theirs, streaming=True)
        if source.stream or (not is_here and too_big(size or source.gigabytes * 10**9)):
            return from_stream(source, split, open_stream, f"{source.hub}:{builder.hash}:{theirs}")
        if not is_here:  # so that a wrong column is refused before the download
            labels.columns(source, builder.info.features or open_stream()._resolve_features().features)
        dataset = datasets.load_dataset(source.hub, source.config, split=theirs)
    return from_dataset(source, split, dataset)


def from_dataset(source: Source, split: str, dataset: Any, root: Path | None = None) -> ImageSet:
    """The image set in a `datasets.Dataset`.

    Args:
        source: the set.
        split: train, validation or test.
        dataset: the table.
        root: folder that relative paths of images refer to.
    """
    image, label = labels.columns(source, dataset.features)
    return labels.from_column(source, split, ArrowStore(dataset, image, root), dataset, label)


def too_big(size: int) -> bool:
    """Whether a set of `size` bytes does not fit the disk of the `datasets` cache."""
    import datasets

    cache = Path(datasets.config.HF_DATASETS_CACHE)
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    return size > shutil.disk_usage(existing).free


def from_stream(source: Source, split: str, open_stream: Callable[[], Any], stamp: str) -> ImageSet:
    """The image set in a stream, of which labels and keys are read now.

    Args:
        source: the set.
        split: train, validation or test.
        open_stream: opens the stream, a `datasets.IterableDataset`, whose order is always the same.
        stamp: a text that changes when the set changes.
    """
    from nastransfer_nni.data.stores.stream import StreamStore

    features = open_stream()._resolve_features().features
    image, label = labels.columns(source, features)
    store = StreamStore(open_stream, image, label, f"{source.name} {split}", stamp, source.identifier)
    found, indices = np.unique(store.words, return_inverse=True)
    names = getattr(features[label], "names", None)
    if names and "" not in found:
        return labels.numbered(source, split, store, found.astype(np.int64)[indices], names)
    return labels.by_name(source, split, store, found.tolist(), indices)


@contextlib.contextmanager
def _errors(source: Source, *others: type[Exception]) -> Iterator[None]:
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
        problem = f"{type(error).__name__}: {first_line(error)}"
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


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
