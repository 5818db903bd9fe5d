"""Run directories and what is written into them: status, metrics, journal, progress."""
