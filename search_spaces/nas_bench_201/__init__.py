"""NAS-Bench-201's cell, network and search space. Importing it imports neither torch nor NNI."""

from search_spaces.nas_bench_201.definition import NasBench201
from search_spaces.nas_bench_201.genotype import OPERATIONS, NasBench201Genotype

__all__ = ["OPERATIONS", "NasBench201", "NasBench201Genotype"]
