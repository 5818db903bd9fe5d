import numpy as np
import pandas as pd
import pytest
import yaml

STUDY = {
    "name": "small",
    "table": "table.csv",
    "cells": "network",
    "proxies": {"cheap": "cheap"},
    "targets": {"dear": "dear"},
    "strategies": ["random:candidates=5"],
    "random_cells": 40,
}


def networks(count=400, agreement=0.8, seed=0):
    """Networks whose cheap and dear accuracy have a given correlation, with standard deviation 1."""
    rng = np.random.default_rng(seed)
    dear, other = rng.normal(size=(2, count))
    cheap = agreement * dear + np.sqrt(1 - agreement**2) * other
    params = np.arange(count) + 1.0
    names = [f"n{number}" for number in range(count)]
    return pd.DataFrame({"network": names, "cheap": 60 + cheap, "dear": 80 + dear, "params": params})


@pytest.fixture
def written(tmp_path):
    """Writes a study file beside its table, and returns its path; options of None are left out."""

    def write(frame=None, **options):
        (networks() if frame is None else frame).to_csv(tmp_path / "table.csv", index=False)
        content = {name: value for name, value in {**STUDY, **options}.items() if value is not None}
        path = tmp_path / "study.yml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write
