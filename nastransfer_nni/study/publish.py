"""A study's results table on the Hugging Face Hub, as a data set that `datasets.load_dataset` reads."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from huggingface_hub import DatasetCardData

from nastransfer_nni.base import hub
from nastransfer_nni.base.files import write_text
from nastransfer_nni.report.collect import Collected
from nastransfer_nni.study.design import Study

TABLE, DESIGN, README = "results.csv", "study.yml", "README.md"


def push_table(found: Collected, study: Study, options: hub.PushOptions) -> hub.Pushed:
    """Push the table, the study file and a README.md that says what they are.

    Raises:
        UserError: the repository holds something else, or the Hub refuses.
    """
    name = str(options.push_to_hub)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found.rows.to_csv(root / TABLE, index=False)
        write_text(root / DESIGN, yaml.safe_dump(study.content, sort_keys=False, allow_unicode=True))
        write_text(root / README, readme(found, study, name=name, license=options.license))
        return hub.push(
            root,
            [TABLE, DESIGN, README],
            options,
            kind="dataset",
            mark=DESIGN,
            message=f"Add {len(found.rows)} transfers of {study.name}",
        )


def readme(found: Collected, study: Study, *, name: str, license: str) -> str:
    """The data set's card.

    Args:
        found: the table, and what was left out of it.
        study: the study.
        name: the repository.
        license: licence of the table, by its name on the Hub.
    """
    data = DatasetCardData(
        license=license,
        pretty_name=study.name,
        tags=["nastransfer_nni", "neural-architecture-search", "tabular"],
        configs=[{"config_name": "default", "data_files": TABLE}],
    )
    table = found.rows
    counts = [f"{len(table)} networks", *(_counted(table, each) for each in ("strategy", "source", "target"))]
    missing = f" Not in it yet: {found.missing}." if found.missing else ""
    return f"""---
{data.to_yaml().strip()}
---

# {study.name}

The results table of a study of architecture search by nastransfer_nni: {", ".join(counts)}.
Each row is one trained network: how its cell was found, on what it was trained, its accuracy in percent, its
size and its cost.{missing}

```python
import datasets

table = datasets.load_dataset("{name}", split="train").to_pandas()
```

`python -m nastransfer_nni.report {TABLE}` answers from it which strategy transfers, from which proxy set, and
whether it beats random cells. `python -m nastransfer_nni.study run {DESIGN} --from-table {TABLE}` continues
the study, whose design is in {DESIGN}.

Versions: {_versions(found.provenance)}.
"""


def _counted(table: pd.DataFrame, column: str) -> str:
    values = [str(value) for value in table[column].dropna().unique()]
    plural = {"strategy": "strategies"}.get(column, f"{column}s")
    return f"{len(values)} {plural if len(values) != 1 else column} ({', '.join(values[:10])})"


def _versions(provenance: Mapping[str, Mapping[str, Any]]) -> str:
    """The versions of the packages that most of the runs had."""
    found = Counter(
        ", ".join(f"{package} {number}" for package, number in run["versions"].items())
        for run in provenance.values()
        if run.get("versions")
    )
    return found.most_common(1)[0][0] if found else "not known"
