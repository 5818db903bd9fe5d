"""Statistics of transfer: pure functions on one results table, which never open a run."""
