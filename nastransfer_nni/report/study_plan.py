"""The plan that a study keeps in its folder: what it fixed before it ran, and the jobs that it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.run_files import COMMAND, SEARCH
from search_spaces.errors import UserError

FILE, FORMAT = "study.json", "nastransfer-study"
EARLIER = "earlier.csv"
"""File of a study's folder with rows whose runs are elsewhere; `study run --from-table` writes it."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study fixed before it ran.

    Attributes:
        margin: margin of equivalence as text; empty for the report's own.
        primary: estimate that alone decides, `mean` or `probability`.
        looks: planned looks, as fractions of the planned runs; empty for none.
        units: planned independent units of a searched arm, the largest number.
        units_of: the planned number by source and proxy.
        random_units: planned random cells.
        jobs: folder of each job, relative to the study's, and its kind, `search` or `transfer`.
        searches: folder of the search of each transfer, by the transfer's.
    """

    margin: str
    primary: str
    looks: tuple[float, ...]
    units: int
    units_of: Mapping[str, int]
    random_units: int
    jobs: tuple[tuple[str, str], ...]
    searches: Mapping[str, str]

    def never_started(self, root: Path, earlier: Collection[str] = ()) -> Counter[str]:
        """Number of jobs of each kind that have no folder below `root`.

        Args:
            root: folder of the study.
            earlier: folders of transfers that were completed elsewhere; neither they nor their searches
                count.
        """
        known = {*earlier, *(self.searches.get(folder, "") for folder in earlier)}
        return Counter(
            kind for folder, kind in self.jobs if folder not in known and not (root / folder).exists()
        )

    def is_complete(self, finished: Collection[str]) -> bool:
        """Whether every transfer is among the finished runs, given as folders relative to the study's."""
        return all(folder in finished for folder, kind in self.jobs if kind == "transfer")


def read_plan(root: Path) -> StudyPlan | None:
    """The plan in a study's folder; None for other folders and for studies without one.

    Raises:
        UserError: there is a plan, and it is damaged.
    """
    content = read_object(root / FILE)
    if content is None and (root / FILE).exists():
        raise UserError(f"{root / FILE} is damaged; restore it from a copy of the folder")
    if content is None or content.get("format") != FORMAT:
        return None
    try:
        return _plan(content)
    except (KeyError, TypeError, ValueError):  # what is missing or has another type
        raise UserError(
            f"{root / FILE} is no plan of this version; `study run` on the study's file writes it again"
        ) from None


def _plan(content: dict[str, Any]) -> StudyPlan:
    jobs = tuple((str(job["folder"]), str(job["kind"])) for job in content["jobs"])
    if unknown := {kind for _, kind in jobs} - {SEARCH, COMMAND}:
        raise ValueError(unknown)
    folders = {job.get("name"): str(job["folder"]) for job in content["jobs"]}
    return StudyPlan(
        margin=str(content.get("margin") or ""),
        primary=str(content.get("primary") or "mean"),
        looks=tuple(map(float, content.get("looks") or ())),
        units=int(content.get("units") or 0),
        units_of={str(place): int(count) for place, count in (content.get("units_of") or {}).items()},
        random_units=int(content.get("random_units") or 0),
        jobs=jobs,
        searches={str(job["folder"]): folders[job["search"]] for job in content["jobs"] if job.get("search")},
    )
