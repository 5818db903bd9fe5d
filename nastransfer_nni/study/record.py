"""study.json in a study's folder: its design, the rules that the folder was begun by, and every job.

It marks the folder as a study's. A report reads from it how the results are to be analysed, and which jobs
are missing. `study run` writes it before the first job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.paths import names_from
from nastransfer_nni.base.reading import read_json
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.status import study_status
from search_spaces.errors import UserError

FILE = "study.json"
FORMAT, VERSION = "nastransfer-study", 1
ANALYSIS = {"primary": "mean", "margin": "0.5sd", "looks": []}
"""What has to be fixed before there are results, with the values of a study that says nothing."""


def read(root: Path) -> dict[str, Any] | None:
    """Content of study.json in the folder `root`; None where there is none.

    Raises:
        UserError: the file is damaged, or something else.
    """
    path = root / FILE
    if not path.exists():
        return None
    content = read_json(path, "study record")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not the record of a study; move it elsewhere, or name another --out")
    if content.get("version") != VERSION:
        raise UserError(f"{path} is of a later version of this program; update it")
    return content


def open_study(file: str | Path) -> Study:
    """The study of a study file, or of a study.json.

    Raises:
        UserError: names the file and what is wrong in it.
    """
    path = Path(file)
    content = read(path.parent) if path.name == FILE else None
    if content is None:
        return Study.read(file)
    with names_from(Path(content["folder"])):
        return Study.create(content["study"])


def as_begun(study: Study, root: Path) -> Study:
    """The study by the rules that its folder was begun with.

    Version 0.1 wrote no study.json: a folder that has jobs without it is one of 0.1, and keeps its random
    seeds.

    Raises:
        UserError: the folder was begun by other rules than those that the study file states.
    """
    content = read(root)
    rules = str(content["rules"]) if content else "0.1" if _has_jobs(root) else study.rules
    if rules == study.rules:
        return study
    if "rules" in study.model_fields_set:
        raise UserError(
            f"{root} was begun by the rules of version {rules}; leave rules out, or name another --out"
        )
    return study.changed(rules=rules)


def write(study: Study, root: Path) -> None:
    """Write the record of a study into its folder, unless it is there.

    Raises:
        UserError: the analysis is another one than before, and there are results.
    """
    before, now = read(root), _content(study)
    if before == now:
        return
    _require_same_analysis(before or ANALYSIS, now, study, root)
    write_json(root / FILE, now)


def _content(study: Study) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": study.name,
        "rules": study.rules,
        "primary": study.primary,
        "margin": study.margin,
        "looks": list(study.looks),
        "units": study.units,
        "units_of": study.units_of,
        "random_units": study.random_cells,
        "folder": str(study.folder.absolute()),
        "study": study.content,
        "jobs": [
            {"name": job.name, "kind": job.kind, "folder": job.place, "search": job.search}
            for job in study.jobs
        ],
    }


def _require_same_analysis(before: dict[str, Any], now: dict[str, Any], study: Study, root: Path) -> None:
    names = [*ANALYSIS, *(["units", "random_units"] if before.get("looks") else [])]
    changed = [name for name in names if before.get(name, ANALYSIS.get(name)) != now[name]]
    if changed and any(
        item.is_completed and item.job.kind == "transfer" for item in study_status(study, root)
    ):
        shown = ", ".join(f"{name}: {before.get(name)} there, {now[name]} in the file" for name in changed)
        raise UserError(
            f"{root} has results, so their analysis is fixed ({shown}); change the file back, or name "
            "another --out"
        )


def _has_jobs(root: Path) -> bool:
    folders = (root / "searches", root / "transfers")
    return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
