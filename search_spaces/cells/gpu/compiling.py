"""How Triton compiles the kernels: not anew for every size of a map."""

from __future__ import annotations

from typing import Any

import triton

# Sizes that are 1 for some edges would be compiled anew there.
_SIZES = ["pixels", "chunk", "height", "width", "out_height", "out_width", "copies", "stride", "dilation"]
_GENERAL = [*_SIZES, "is_added", "is_last", "nodes", "count", "terms", "size", "blocks"]


def compiled(kernel: Any) -> Any:
    """A kernel that is compiled for types and for numbers of channels, but not for other sizes."""
    return triton.jit(kernel, do_not_specialize=[n for n in _GENERAL if n in kernel.__code__.co_varnames])
