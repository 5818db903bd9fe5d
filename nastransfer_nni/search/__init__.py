"""Searches: a cell is looked for on a source and exported."""
