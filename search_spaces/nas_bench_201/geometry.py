"""Number of cells and channels of the stages of a network of NAS-Bench-201."""

from __future__ import annotations

from typing import NamedTuple

from search_spaces.errors import UserError, unknown
from search_spaces.geometry import STEMS
from search_spaces.nas_bench_201.genotype import KIND

STAGES = 3


class Block(NamedTuple):
    """Position of a cell, or of a residual block, in the network.

    Attributes:
        previous: channels of its input.
        channels: channels of its output.
        kind: `cell`, or `residual` for a block that divides the size by two and is not searched.
    """

    previous: int
    channels: int
    kind: str = KIND


def blocks(width: int, layers: int, stem: str = "cifar") -> list[Block]:
    """The cells and residual blocks of a network, from the first to the last.

    Args:
        width: channels of the first stage; they double at each residual block.
        layers: number of cells and residual blocks, 3 * N + 2 for N cells a stage.
        stem: `cifar`, or `imagenet` for images above 64 px.

    Raises:
        UserError: no network has this size.
    """
    if width < 1:
        raise UserError(f"width must be at least 1, not {width}")
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if stem == "imagenet" and width % 2:
        raise UserError(f"the imagenet stem needs an even width, not {width}")
    between = STAGES - 1
    cells, rest = divmod(layers - between, STAGES)
    if cells < 1 or rest:
        near = sorted({max(cells, 1), max(cells + 1, 1)})
        raise UserError(
            f"a network of nas_bench_201 has {STAGES} stages of as many cells and {between} residual blocks "
            f"between them: layers must be {' or '.join(str(STAGES * count + between) for count in near)}, "
            f"not {layers}"
        )
    plan = [Block(width, width)] * cells
    for _ in range(between):
        plan.append(Block(plan[-1].channels, 2 * plan[-1].channels, "residual"))
        plan += [Block(plan[-1].channels, plan[-1].channels)] * cells
    return plan
