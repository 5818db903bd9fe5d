"""Holm's correction for several tests."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics.estimate import Floats


def holm(p_values: Sequence[float] | Floats | pd.Series[float]) -> Floats:
    """The p-values after Holm's correction [1], as statsmodels computes it.

    References:
        [1] Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6, 1979.
    """
    gc.freeze()  # statsmodels collects garbage at every call, which takes longer than a whole table
    try:
        return np.asarray(multipletests(p_values, method="holm")[1])
    finally:
        gc.unfreeze()


def holm_by_group(frame: pd.DataFrame, column: str, by: list[str] | str = "setting") -> pd.Series[float]:
    """The p-values of a column after Holm's correction within each group; NaN where there is none."""
    corrected = pd.Series(float("nan"), index=frame.index)
    for _, family in frame[frame[column].notna()].groupby(by, sort=False):
        corrected[family.index] = holm(family[column])
    return corrected
