"""Scores and features of every image: computed once by a network, or read from a file that the user brings.

Both are a Parquet file with a row per image: `key` (16 hexadecimal digits) and any of `entropy`, `loss`,
`margin` and `features` (a list of numbers). A file without `key` must have its rows in the order of the set.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import digest, replacing
from nastransfer_nni.data import hashing
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy import spec
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError

_PART = 8192
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """One column of a score file, in the order of the images it was asked for.

    Attributes:
        values: float64 [N] scores, or float [N, D] features.
        origin: what the manifest says of it: the scorer or file, the column and a fingerprint of its values.
    """

    values: npt.NDArray[Any]
    origin: dict[str, str]


def scores(images: ImageSet, step: spec.Scored, column: str) -> Scores:
    """Get a column for every image of a set.

    Args:
        images: a whole split, in any order.
        step: names the scorer or the file.
        column: entropy, loss, margin or features.

    Raises:
        UserError: the file lacks the column or rows, or the scorer is not to be had.
    """
    if step.scores is not None:
        made_by, path = Path(step.scores).name, Path(step.scores)
    else:
        made_by = f"{step.scorer}, {step.epochs} epochs" if step.scorer == "network" else step.scorer
        path = compute(images, step)
    keys, values = read(path, column, images)
    content = hashlib.sha256()
    for row in np.array_split(np.argsort(keys, kind="stable"), max(len(keys) // _PART, 1)):
        content.update(np.ascontiguousarray(values[row], dtype=np.float64).tobytes())
    ordered = np.argsort(keys, kind="stable")
    place = np.minimum(np.searchsorted(keys[ordered], images.keys), len(keys) - 1)
    rows = ordered[place]
    missing = int((keys[rows] != images.keys).sum())
    if missing:
        raise UserError(f"{path} has no row for {missing} of the {len(images)} images of {images.name}")
    origin = {"made_by": made_by, "column": column, "fingerprint": content.hexdigest()[:16]}
    return Scores(values[rows], origin)


def read(path: Path, column: str, images: ImageSet) -> tuple[hashing.Keys, npt.NDArray[Any]]:
    """The keys and one column of a score file, in the order of the file."""
    import pyarrow
    import pyarrow.parquet

    try:
        there = pyarrow.parquet.read_schema(path).names
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is no Parquet file ({error})") from None
    if column not in there:
        raise UserError(f"{path} has no column {column!r}; it has {', '.join(there)}")
    table = pyarrow.parquet.read_table(path, columns=[name for name in ("key", column) if name in there])
    if "key" in there:
        try:
            keys = np.array([int(key, 16) for key in table["key"].to_pylist()], dtype=np.uint64)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{path}: keys must be 16 hexadecimal digits") from None
    elif len(table) == len(images):
        keys = images.keys
    else:
        raise UserError(
            f"{path} has {len(table)} rows and no column 'key'; {images.name} has {len(images)} images"
        )
    values = table[column].combine_chunks()
    if column != "features":
        try:
            numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        except ValueError:
            raise UserError(f"{path}: {column} must be numbers") from None
        if not np.isfinite(numbers).all() or (column == "entropy" and numbers.min() < 0):
            raise UserError(f"{path}: {column} has values that are negative, missing or infinite")
        return keys, numbers
    flat = values.flatten().to_numpy(zero_copy_only=False)
    if len(table) == 0 or len(flat) % len(table) or not np.isfinite(flat).all():
        raise UserError(f"{path}: features must be lists of finite numbers, equally long in every row")
    return keys, flat.reshape(len(table), -1)


def compute(images: ImageSet, step: spec.Scored) -> Path:
    """The score file of a scorer on a set: made once, in parts that an interrupted run keeps."""
    epochs = step.epochs if step.scorer == "network" else 0
    folder = cache_folder("scores") / digest([images.name, images.fingerprint, step.scorer, epochs])
    final = folder.with_suffix(".parquet")
    if final.is_file():
        return final
    images = images.canonical()
    _log.info("scoring %d images of %s with %s", len(images), images.name, step.scorer)
    number = len(list(folder.glob("part-*.npz")))
    begin = number * _PART
    if begin < len(images):
        for features, logits in _parts(_outputs(images, step, folder, begin)):
            labels = images.labels[number * _PART :][: len(features)]
            measures = _measures(logits, labels) if logits.shape[1] else np.zeros((3, 0))
            folder.mkdir(exist_ok=True)
            with replacing(folder / f"part-{number:05d}.npz") as scratch, scratch.open("wb") as file:
                np.savez(file, features=features.numpy(), measures=measures)
            number += 1
    _write(folder, images, final)
    shutil.rmtree(folder)
    return final


def _outputs(images: ImageSet, step: spec.Scored, folder: Path, begin: int) -> Iterator[tuple[Any, Any]]:
    from nastransfer_nni.proxy import networks

    if step.scorer == "network":
        network, content = networks.train_network(images, step.epochs, folder)
        yield from networks.network_outputs(network, content, images, begin)
    else:
        model = networks.timm_model(step.scorer.removeprefix("timm:"))
        yield from networks.timm_outputs(model, images, begin)


def _parts(batches: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Regroup batches of (features, logits) into parts of `_PART` rows; only the last is shorter."""
    import torch

    features = logits = None
    for more_features, more_logits in batches:
        features = more_features if features is None else torch.cat([features, more_features])
        logits = more_logits if logits is None else torch.cat([logits, more_logits])
        while len(features) >= _PART:
            yield features[:_PART], logits[:_PART]
            features, logits = features[_PART:], logits[_PART:]
    if features is not None and len(features):
        yield features, logits


def _measures(logits: Any, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Entropy, loss and margin of each image, [3, N]; the margin is how much more likely another class is."""
    import torch

    log = torch.log_softmax(logits.double(), 1)
    place = torch.tensor(labels)[:, None]
    own = log.gather(1, place)[:, 0]
    best_other = log.scatter(1, place, -torch.inf).amax(1)
    entropy = -(log.exp() * log).sum(1).clamp(max=0)
    return torch.stack([entropy, -own, best_other - own]).numpy()


def _write(folder: Path, images: ImageSet, final: Path) -> None:
    """Turn the parts into the score file."""
    import pyarrow
    import pyarrow.parquet
    import torch

    from nastransfer_nni.proxy.networks import probe

    parts = [np.load(path, allow_pickle=False) for path in sorted(folder.glob("part-*.npz"))]
    features = np.concatenate([part["features"] for part in parts]).astype(np.float32, copy=False)
    measures = np.concatenate([part["measures"] for part in parts], axis=1)
    if not measures.size:  # a model of other classes
        logits = probe(torch.from_numpy(features), torch.tensor(images.labels), len(images.classes), _PART)
        pieces = range(0, len(images), _PART)
        labels = (images.labels[start : start + _PART] for start in pieces)
        measures = np.concatenate([_measures(*pair) for pair in zip(logits, labels, strict=True)], axis=1)
    table = {
        "key": [f"{int(key):016x}" for key in images.keys],
        **dict(zip(("entropy", "loss", "margin"), measures, strict=True)),
        "features": pyarrow.FixedSizeListArray.from_arrays(features.reshape(-1), features.shape[1]),
    }
    with replacing(final) as scratch:
        pyarrow.parquet.write_table(pyarrow.table(table), scratch)
