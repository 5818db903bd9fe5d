"""Proxy sets: which images of a source a search works on, chosen in one of many ways and written down."""
