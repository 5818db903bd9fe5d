"""The jobs of a study: their options, their names and folders, and the random seeds of their trainings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from nastransfer_nni.architecture.file import read
from nastransfer_nni.base.files import digest
from nastransfer_nni.base.paths import names_folder
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.registry import DEFAULT


@dataclass(frozen=True)
class Job:
    """One search or one transfer of a study.

    Attributes:
        name: unique within the study; names the job's folder and log.
        kind: search or transfer.
        config: options of the job; a transfer's `arch` is replaced by what its search exports.
        search: name of the search whose cell is transferred; None for a search.
        names_folder: folder of the study file, in which the relative names of its options are looked up.
    """

    name: str
    kind: Literal["search", "transfer"]
    config: SearchConfig | TransferConfig
    search: str | None = None
    names_folder: Path = field(default_factory=names_folder, compare=False)

    @property
    def place(self) -> str:
        """Run directory of the job, relative to the study's folder."""
        return f"{'searches' if self.kind == 'search' else 'transfers'}/{self.name}"

    def folder(self, root: Path) -> Path:
        """Run directory of the job in the study's folder `root`."""
        return root / self.place

    def log(self, root: Path) -> Path:
        """File with the job's output."""
        return root / "logs" / f"{self.name}.txt"

    def options(self, root: Path) -> SearchConfig | TransferConfig:
        """Options of the job with its folder and, for a transfer, the architecture that its search exported.

        Raises:
            UserError: the search has exported no architecture.
        """
        changes: dict[str, Any] = {"out": str(self.folder(root))}
        if self.search is not None:
            changes["arch"] = read(str(root / "searches" / self.search / "architecture.json"))
        return self.config.model_copy(update=changes)


class JobList(Protocol):
    """Jobs that an engine runs together: those of a study, or of a pilot.

    Attributes:
        name: what they are called.
        jobs: every search, and every transfer after its search.
    """

    @property
    def name(self) -> str: ...

    @property
    def jobs(self) -> tuple[Job, ...]: ...


def training_seed(train_seed: int, search: SearchConfig) -> int:
    """Random seed with which the cell of a search is trained.

    It follows from the study's train seed and from all that identifies the search, so that two searches never
    share a training, even if they find the same cell.

    Args:
        train_seed: one of the study's `train_seeds`.
        search: options of the search.

    Returns:
        A number below 2**32, which every random generator takes.
    """
    identity = {
        "train_seed": train_seed,
        "strategy": search.strategy.text,
        "source": search.source.text,
        "proxy": search.proxy.text,
        "proxy_seed": search.proxy_seed,
        "search_seed": search.seed,
    }
    if search.space.text != DEFAULT:
        identity["space"] = search.space.text
    return int(digest(identity, 8), 16)


def slug(words: Sequence[str]) -> str:
    """The words as a file name; a digest tells apart names in which characters had to be replaced."""
    text = "-".join(words)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_")
    return plain if plain == text else f"{plain}-{digest(text, 4)}"
