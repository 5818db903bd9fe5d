"""Scores and features of images: computed once by a network, or read from a file that the user supplies.

Both are a Parquet file with one row per image: `key` (16 hexadecimal digits) and any of `entropy`, `loss`,
`margin` (nats), `el2n`, `forgetting` and `features` (a list of numbers). Without `key`, rows must be in the
order of the set.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import digest, replacing
from nastransfer_nni.base.locks import locked
from nastransfer_nni.base.paths import located
from nastransfer_nni.data import hashing
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.proxy.scorer_cost import Clock, cost_of, network_cost, with_cost
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError
from strategies.budget import Cost

_PART = 8192
"""Images per stored part: an interrupted computation resumes after the last whole part."""
DYNAMICS = ("el2n", "forgetting")
"""Columns that follow from how networks are trained, so that only scorer=network has them."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreSource:
    """Where scores and features come from.

    Attributes:
        scorer: network (a ResNet-20 trained on the source), timm:MODEL or timm:MODEL@WEIGHTS_FILE.
        epochs: training epochs of the scorer `network`.
        file: Parquet file that has the scores, used instead of the scorer; None: the scorer computes them.
    """

    scorer: str
    epochs: int
    file: Path | None = None

    @property
    def name(self) -> str:
        """Name of the scorer or file in manifests."""
        if self.file is not None:
            return self.file.name
        return f"{self.scorer}, {self.epochs} epochs" if self.scorer == "network" else self.scorer

    @property
    def identity(self) -> list[str | int]:
        """What tells the scorer from others, by the content of its file of weights."""
        file = self.scorer.partition("@")[2]
        weights = [hashlib.sha256(located(file).read_bytes()).hexdigest()] if file else []
        return [self.scorer, self.epochs if self.scorer == "network" else 0, *weights]

    def cost(self, column: str, images: int) -> Cost | None:
        """Images that a column of scores takes, or what its file says that it took; None: it says nothing.

        Args:
            column: a column of a score file.
            images: number of images of the set.
        """
        if self.file is not None:
            return cost_of(self.file)
        trained = network_cost(images, self.epochs, column)
        return trained if self.scorer == "network" else Cost(forward_images=images)


@dataclass(frozen=True)
class Scores:
    """One column of a score file, in the order of the images that it was requested for.

    Attributes:
        values: scores, float64 [N], or features, float [N, D].
        origin: record for the manifest: scorer or file, column, and a fingerprint of the values.
        path: the score file.
        cost: what the file took; None: it was made elsewhere and does not say.
    """

    values: npt.NDArray[Any]
    origin: dict[str, str]
    path: Path
    cost: Cost | None


def scores(images: ImageSet, source: ScoreSource, column: str) -> Scores:
    """Get one column for every image of a set; a scorer computes it only once.

    Args:
        images: a whole split, in any order.
        source: the network or file that the column comes from.
        column: entropy, loss, margin, el2n, forgetting or features.

    Raises:
        UserError: the file lacks the column or some images, or the scorer is not available.
    """
    learnt = column in DYNAMICS
    path = source.file or (compute_dynamics(images, source, column) if learnt else compute(images, source))
    keys, values = read(path, column, images)
    order = np.argsort(keys, kind="stable")
    content = hashlib.sha256()
    for rows in np.array_split(order, max(len(keys) // _PART, 1)):
        content.update(np.ascontiguousarray(values[rows], dtype=np.float64).tobytes())
    found = order[np.minimum(np.searchsorted(keys[order], images.keys), len(keys) - 1)]
    missing = int((keys[found] != images.keys).sum())
    if missing:
        raise UserError(f"{path} has no row for {missing} of the {len(images)} images of {images.name}")
    origin = {"made_by": source.name, "column": column, "fingerprint": content.hexdigest()[:16]}
    cost = cost_of(path)
    if cost is None and source.file is None:  # version 0.1 has computed it, and did not note the time
        cost = source.cost(column, len(images))
    return Scores(values[found], origin, path, cost)


def read(path: Path, column: str, images: ImageSet) -> tuple[hashing.Keys, npt.NDArray[Any]]:
    """Read one column of a score file.

    Args:
        path: the Parquet file.
        column: entropy, loss, margin, el2n, forgetting or features.
        images: the set that the file describes; its keys are those of a file without the column `key`.

    Returns:
        Keys, uint64 [N], and values, float64 [N] or [N, D], in the order of the file.

    Raises:
        UserError: the file is no Parquet file, lacks the column, or has keys or values that are not allowed.
    """
    import pyarrow  # slow to import
    import pyarrow.compute
    import pyarrow.parquet

    try:
        available = pyarrow.parquet.read_schema(path).names
        columns = [name for name in ("key", column) if name in available]
        table = pyarrow.parquet.read_table(path, columns=columns)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} is no Parquet file ({error})") from None
    if column not in available:
        raise UserError(f"{path} has no column {column!r}; it has {', '.join(available)}")
    if "key" in available:
        try:
            keys = np.array([int(key, 16) for key in table["key"].to_pylist()], dtype=np.uint64)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{path}: keys must be 16 hexadecimal digits") from None
    elif len(table) == len(images):
        keys = images.keys[np.argsort(images.numbers)]  # in the order in which the set is stored
    else:
        raise UserError(
            f"{path} has {len(table)} rows and no column 'key'; {images.name} has {len(images)} images"
        )
    if len(table) == 0:
        raise UserError(f"{path} has no rows")
    values = table[column].combine_chunks()
    if column != "features":
        try:
            numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        except (TypeError, ValueError):  # of numpy, for what is in the user's file
            raise UserError(f"{path}: {column} must be numbers") from None
        if not np.isfinite(numbers).all() or (column == "entropy" and numbers.min() < 0):
            raise UserError(f"{path}: {column} has values that are negative, missing or infinite")
        return keys, numbers
    try:
        lengths = pyarrow.compute.list_value_length(values).unique()
        flat = values.flatten().to_numpy(zero_copy_only=False)
        is_good = len(lengths) == 1 and bool(lengths[0].as_py()) and bool(np.isfinite(flat).all())
    except (TypeError, pyarrow.ArrowException):  # what is in the user's file is no lists, or not of numbers
        is_good = False
    if not is_good:
        raise UserError(f"{path}: features must be lists of finite numbers, equally long in every row")
    return keys, flat.reshape(len(table), -1)


def compute(images: ImageSet, source: ScoreSource) -> Path:
    """Compute scores and features of a set, unless they are in the cache.

    Parts are stored on the way, so that an interrupted computation resumes.

    Args:
        images: the set, in any order.
        source: the scorer.

    Returns:
        The score file, in the cache.

    Raises:
        UserError: the scorer is not available, or the set is too large for `network`.
    """
    folder = cache_folder("scores") / digest([images.name, images.fingerprint, *source.identity])
    final = folder.with_suffix(".parquet")
    return _once(final, lambda: _compute(images.canonical(), source, folder, final))


def _once(final: Path, work: Callable[[], None]) -> Path:
    """Do the work that writes a file, unless it is there; of several searches that need it, one does it."""
    if not final.is_file():
        with locked(final.with_suffix(".lock")):
            if not final.is_file():
                work()
    return final


def _compute(images: ImageSet, source: ScoreSource, folder: Path, final: Path) -> None:
    """Compute the score file `final` of a set in canonical order, with its parts in `folder` on the way."""
    _log.info("scoring %d images of %s with %s", len(images), images.name, source.scorer)
    number, clock = len(list(folder.glob("part-*.npz"))), Clock(folder / "clock.json")
    begin = number * _PART
    if begin < len(images):
        for features, logits in _parts(_outputs(images, source, folder, begin, clock)):
            labels = images.labels[number * _PART :][: len(features)]
            measures = _measures(logits, labels) if logits.shape[1] else np.zeros((3, 0))
            folder.mkdir(exist_ok=True)
            with replacing(folder / f"part-{number:05d}.npz") as scratch, scratch.open("wb") as file:
                np.savez(file, features=features.numpy(), measures=measures)
            clock.lap()
            number += 1
    _write(folder, images, final, clock, source)
    shutil.rmtree(folder)


def compute_dynamics(images: ImageSet, source: ScoreSource, column: str) -> Path:
    """Compute el2n or forgetting of a set, unless it is in the cache; an interrupted computation resumes.

    Args:
        images: the set, in any order.
        source: the scorer, which is `network`.
        column: el2n or forgetting.

    Returns:
        The score file, in the cache.

    Raises:
        UserError: the set is too large for `network`.
    """
    from nastransfer_nni.proxy import dynamics  # imports torch, which is slow

    name = digest([images.name, images.fingerprint, column, source.epochs])
    final = cache_folder("scores") / f"{name}.parquet"
    return _once(final, lambda: dynamics.compute(images.canonical(), column, source.epochs, final))


def _outputs(
    images: ImageSet, source: ScoreSource, folder: Path, begin: int, clock: Clock
) -> Iterator[tuple[Any, Any]]:
    """Features [B, D] and logits [B, C] of the images from row `begin` on, batch by batch."""
    from nastransfer_nni.proxy import networks  # imports torch, which is slow

    if source.scorer == "network":
        network, content = networks.train_network(images, source.epochs, folder, clock=clock)
        yield from networks.network_outputs(network, content, images, begin)
    else:
        model = networks.timm_model(source.scorer.removeprefix("timm:"))
        yield from networks.timm_outputs(model, images, begin)


def _parts(batches: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Regroup batches of (features, logits) into parts of `_PART` rows; only the last is shorter."""
    import torch  # slow to import

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
    """Hardness of images, in nats.

    Args:
        logits: logits, float [N, C].
        labels: labels, int64 [N].

    Returns:
        Entropy of the prediction, cross-entropy loss, and margin (the log-probability of the best wrong class
        minus that of the label), float64 [3, N].
    """
    import torch  # slow to import

    log_probabilities = torch.log_softmax(logits.double(), 1)
    index = torch.tensor(labels)[:, None]
    own = log_probabilities.gather(1, index)[:, 0]
    best_other = log_probabilities.scatter(1, index, -torch.inf).amax(1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1).clamp(max=0)
    return torch.stack([entropy, -own, best_other - own]).numpy()


def _write(folder: Path, images: ImageSet, final: Path, clock: Clock, source: ScoreSource) -> None:
    """Join the parts in `folder` to the score file `final`."""
    import pyarrow  # slow to import, and so are torch and networks
    import pyarrow.parquet
    import torch

    from nastransfer_nni.proxy.networks import probe

    parts = [np.load(path, allow_pickle=False) for path in sorted(folder.glob("part-*.npz"))]
    features = np.concatenate([part["features"] for part in parts]).astype(np.float32, copy=False)
    measures = np.concatenate([part["measures"] for part in parts], axis=1)
    if not measures.size:  # the classifier has other classes, so fit a linear probe
        logits = probe(torch.from_numpy(features), torch.tensor(images.labels), len(images.classes), _PART)
        pieces = range(0, len(images), _PART)
        labels = (images.labels[start : start + _PART] for start in pieces)
        measures = np.concatenate([_measures(*pair) for pair in zip(logits, labels, strict=True)], axis=1)
    table = {
        "key": [f"{int(key):016x}" for key in images.keys],
        **dict(zip(("entropy", "loss", "margin"), measures, strict=True)),
        "features": pyarrow.FixedSizeListArray.from_arrays(features.reshape(-1), features.shape[1]),
    }
    clock.lap()
    cost = source.cost("loss", len(images))
    assert cost is not None, "a scorer computes it"
    content = with_cost(pyarrow.table(table), replace(cost, seconds=clock.seconds))
    with replacing(final) as scratch:
        pyarrow.parquet.write_table(content, scratch)
