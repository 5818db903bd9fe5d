"""Operations that a search step dispatches, by kind: what each costs a GPU at least is a launch.

    python -m benchmarks.launches                  # plain and fast cell, first and second order

Counted on the meta device, where nothing is computed, so that no GPU is needed; width 16, 8 layers, batch 64.
Views and allocations launch nothing and are left out. An operation on a list of tensors (`_foreach_add_`)
takes as many launches as its kernels need for so many; one that is several kernels, such as the backward pass
of a convolution, counts once. Of kernels of our own, each launch counts.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.search_step import Setting, our_step
from search_spaces.cells import batched
from search_spaces.cells.gpu import separable

TENSORS = (110, 64, 48, 36, 30)
"""Most tensors in each list of a kernel of torch's foreach operations, by the number of lists
(`depth_to_max_tensors` in its MultiTensorApply.cuh)."""

OURS = "kernels of our own"

KINDS = {
    OURS: (OURS,),
    "convolution": ("convolution",),
    "batch norm": ("batch_norm",),
    "pooling": ("pool2d",),
    "lists of tensors": ("_foreach",),
    "matrix product": ("mm",),
    "joining and copying": ("cat", "stack", "copy", "clone", "repeat", "slice_backward", "select_backward"),
    "sum": ("sum", "mean", "norm"),
}
"""Parts of the names of operations, by kind; the first that fits counts, and the rest is elementwise."""

_NO_LAUNCH = (
    *("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "lift_fresh"),
    *("_unsafe_view", "_reshape_alias", "as_strided_", "_record_function_enter_new", "_record_function_exit"),
    "_local_scalar_dense",  # on the meta device it could not run: these are numbers of Adam on the CPU
)
"""Allocations, views that their schema does not show, and what runs on the CPU."""


class Launches(TorchDispatchMode):
    """Counts the operations that are dispatched inside the block.

    Attributes:
        operations: launches by the name of the operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        aliases = [result.alias_info for result in func._schema.returns]
        is_view = any(alias is not None and not alias.is_write for alias in aliases)
        if not is_view and name not in _NO_LAUNCH:
            self.operations[name] += _kernels(name, args)
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """All launches."""
        return self.operations.total()

    def by_kind(self) -> Counter[str]:
        """Launches by the kind of operation."""
        kinds: Counter[str] = Counter()
        for name, count in self.operations.items():
            fits = (kind for kind, parts in KINDS.items() if any(part in name for part in parts))
            kinds[next(fits, "elementwise")] += count
        return kinds


def _kernels(name: str, args: tuple[Any, ...]) -> int:
    """Kernels of an operation on lists of tensors; 1 of any other."""
    if not name.startswith("_foreach"):
        return 1
    lists = sum(isinstance(arg, (list, tuple)) and isinstance(arg[0], Tensor) for arg in args)
    writes_elsewhere = not name.endswith("_") and "norm" not in name
    return -(-len(args[0]) // TENSORS[lists + writes_elsewhere - 1])


@contextlib.contextmanager
def lists_on_meta() -> Iterator[None]:
    """Let optimizers and clipping take lists of tensors on the meta device, too, as on a GPU."""
    names = ("torch.utils._foreach_utils", "torch.optim.optimizer")
    with contextlib.ExitStack() as stack:
        for name in names:
            function = f"{name}._get_foreach_kernels_supported_devices"
            stack.enter_context(mock.patch(function, lambda: ["cuda", "meta"]))
        yield


class CountedKernels:
    """In place of Triton kernels: counts their launches, whatever their name and arguments.

    Attributes:
        launches: launches so far.
    """

    def __init__(self) -> None:
        self.launches = 0

    def __getattr__(self, name: str) -> CountedKernels:
        return self

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return self._launch

    def _launch(self, *args: object, **kwargs: object) -> None:
        self.launches += 1


@contextlib.contextmanager
def kernels_on_meta() -> Iterator[CountedKernels]:
    """Take the path of a GPU that has Triton, with maps that have their channels last."""
    kernels = CountedKernels()
    with (
        mock.patch.object(separable, "usable", lambda x: True),
        mock.patch.object(separable, "_kernels", lambda: kernels),
        mock.patch.object(batched, "lies_last", lambda x: x.dim() == 4),
        mock.patch("search_spaces.cells.fast.lies_last", lambda x: True),
        mock.patch("search_spaces.pooling._pads_itself", lambda x: True),
    ):
        yield kernels


def count(step: Callable[[], object]) -> Launches:
    """Count a step, after one that creates what the optimizers keep."""
    with lists_on_meta(), kernels_on_meta() as kernels:
        step()
        kernels.launches = 0
        with Launches() as launches:
            step()
    launches.operations[OURS] = kernels.launches
    return launches


def main() -> None:
    """Count, and print a table."""
    counts = {
        f"{variant}, order {order}": count(our_step(Setting(variant, 16, 8, 64, order, 1, "meta")))
        for order in (1, 2)
        for variant in ("plain", "fast")
    }
    table = Table("kind of operation", *counts)
    kinds = {name: launches.by_kind() for name, launches in counts.items()}
    for kind in (*KINDS, "elementwise"):
        table.add_row(kind, *(f"{kinds[name][kind]:,}" for name in counts))
    table.add_row("all", *(f"{launches.total:,}" for launches in counts.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
