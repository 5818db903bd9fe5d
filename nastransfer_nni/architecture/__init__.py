"""Architectures: their file, their pictures, and the commands on them."""
