"""NAO: cells are found by gradient steps in a learned continuous space (Luo et al., NeurIPS 2018)."""
