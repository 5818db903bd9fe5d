"""From the inputs of a search-time cell to its output."""

from __future__ import annotations

from ctypes import byref

from torch import Tensor

from search_spaces.cells.compiled.bypass import Bypass
from search_spaces.cells.compiled.kernels import loops, pixel_stride
from search_spaces.cells.compiled.layout import OUTGOING, Arguments, Maps, Static, describe, node_size, split
from search_spaces.errors import UserError
from search_spaces.genotype import CONCAT, INPUTS


def forward(static: Static, arguments: Arguments, updates: bool) -> tuple[Tensor, list[Maps]]:
    """The cell's output [B, H', W', 4 * C] and its maps; `updates` says whether running statistics change."""
    size, channels = node_size(static, arguments), arguments.inputs[0].shape[3]
    if updates and size[0] * size[1] * size[2] == 1:
        raise UserError("BatchNorm needs more than one value per channel when training")
    out = arguments.inputs[0].new_empty(*size[:3], len(CONCAT) * channels)
    states, maps = [*arguments.inputs, *split(out)], []
    bypass = Bypass(static, arguments, states) if arguments.channels < channels else None
    cell, _table = describe(static, arguments, updates=updates)

    def complete(node: int) -> None:
        to = bypass.head if bypass else states[node]
        loops().cell_node(byref(cell), node, to.data_ptr(), pixel_stride(to))
        if bypass:
            bypass.complete(node)

    for state in range(len(OUTGOING)):
        if state >= INPUTS:
            complete(state)
        x = states[state][..., : arguments.channels]
        maps.append(Maps.of(x, static, arguments, state))
        cell.states[state] = maps[-1].state(x)
        loops().cell_edges(byref(cell), state)
    complete(CONCAT[-1])
    return out, maps
