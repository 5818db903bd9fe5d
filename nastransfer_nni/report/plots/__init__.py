"""Plots of the statistics."""
