"""Latency of final networks: measured part by part, added up for any architecture."""
