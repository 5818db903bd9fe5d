"""Side-by-side measurements: every module is one command and writes benchmarks/results."""
