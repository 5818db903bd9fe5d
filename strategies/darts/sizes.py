"""Sizes of the published search space, to which the options of differentiable search refer."""

CANDIDATES = 8
"""Candidates of an edge, with `none`."""

EDGES_OF_NODES = (2, 3, 4, 5)
"""Edges that enter each node."""

PROJECTIONS = sum(EDGES_OF_NODES) + sum(edges > 2 for edges in EDGES_OF_NODES)
"""Choices that a projection makes in each kind of cell: an operation for every edge, then the inputs of the
nodes that have more than two edges."""
