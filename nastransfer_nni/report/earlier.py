"""The results that a study's folder has from elsewhere: rows of a table whose runs are not in the folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.study_plan import EARLIER


def read(root: Path) -> pd.DataFrame | None:
    """The rows in the folder `root`; None where there are none.

    Raises:
        UserError: the file is damaged.
    """
    return reading.read(root / EARLIER)[0] if (root / EARLIER).exists() else None


def joined(earlier: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` behind the earlier ones; a run that is in both is that of `rows`."""
    if earlier is None or rows.empty:
        return rows if earlier is None else earlier
    return pd.concat([earlier[~earlier["run"].isin(set(rows["run"]))], rows], ignore_index=True)
