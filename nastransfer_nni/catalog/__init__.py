"""What there is by name: data sets, protocols, strategies, proxy kinds, example experiments."""
