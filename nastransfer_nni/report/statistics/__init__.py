"""Statistics of transfer: pure functions of one results table."""
