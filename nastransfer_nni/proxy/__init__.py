"""Proxy sets: subsets of the source data for searches, selected in many ways and recorded in manifests."""

from nastransfer_nni.proxy import kinds as kinds  # fills the registry of kinds before anything reads it
