"""What scorers take: planned from their options, measured while they work, kept in the files of scores."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.reading import read_object
from search_spaces.errors import UserError
from strategies.budget import Cost

TRAINING_BATCH = 128
"""Images per batch in the training of scorer=network; whole batches only."""
EL2N_NETWORKS = 10
"""Networks that EL2N averages, as in the paper."""
_ENTRY = b"nastransfer_cost"


def network_cost(images: int, epochs: int, column: str = "loss") -> Cost:
    """Images that scorer=network takes for a column of scores: its trainings, and the pass that scores.

    Args:
        images: number of images of the set.
        epochs: training epochs of each network.
        column: a column of a score file.
    """
    batch = min(TRAINING_BATCH, images)
    trained = epochs * (images // batch) * batch
    one = Cost(images=trained, forward_images=0 if column == "forgetting" else images)
    return one.times(EL2N_NETWORKS if column == "el2n" else 1)


class Clock:
    """Seconds of work that is done in parts: a file keeps them, so that they survive an interruption.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._since = path, time.perf_counter()
        self.seconds = float((read_object(path) or {}).get("seconds", 0.0))

    def lap(self) -> None:
        """Add the time since the last part to the file; called where a part of the work is kept."""
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        write_json(self._path, {"seconds": self.seconds})


def with_cost(table: Any, cost: Cost) -> Any:
    """A pyarrow table whose file says what it cost."""
    entry = json.dumps(dataclasses.asdict(cost)).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _ENTRY: entry})


def cost_of(path: Path) -> Cost | None:
    """What a score file says that it cost; None: it says nothing.

    Raises:
        UserError: it is no Parquet file.
    """
    import pyarrow  # slow to import
    import pyarrow.parquet

    try:
        entry = (pyarrow.parquet.read_schema(path).metadata or {}).get(_ENTRY)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} is no Parquet file ({error})") from None
    return None if entry is None else Cost(**json.loads(entry))


def total(costs: Iterable[Cost | None]) -> Cost | None:
    """The sum of costs; None where one is not known."""
    known = list(costs)
    return None if None in known else sum((cost for cost in known if cost), Cost())
