"""Transfers: the network of a cell is trained on a target, from scratch."""
