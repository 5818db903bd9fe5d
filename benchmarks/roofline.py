"""How far each part of a search step is from what this processor can do, on one thread.

    python -m benchmarks.roofline                                # width 16, 8 layers, batch 16 and 64
    python -m benchmarks.roofline --batches 16 --order 2
    python -m benchmarks.roofline --partial-channels --name roofline_partial

A part cannot be faster than its multiply-adds at the core's peak, nor than its bytes at the memory's
bandwidth; the later of the two is its bound. The peak is that of torch's matrix product, the bandwidth that
of a sum of two large arrays, both measured between the steps. Bytes are those of every map that a part
reads or writes, once each. A map that still lies in a cache is read faster than from memory, so a part can
be faster than its bound. Seconds are CPU seconds (of torch's own operators wall seconds), which other
programs disturb less. Parts are the compiled loops of the fast cell; torch's own larger operators by what
they do; and the rest, which is elementwise operations, copies and Python. Writes
benchmarks/results/roofline.json and roofline.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, cast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fresh import machine
from benchmarks.search_step import Setting, our_step
from search_spaces.cells.compiled import kernels
from search_spaces.cells.compiled.kernels import Job, Observer, Product, Shape, Term

RESULTS = Path(__file__).parent / "results"
FLOAT = 4
"""Bytes of a number."""
LIMIT = 0.7
"""Share of its bound from which a part counts as at its limit."""
TORCH = {
    "convolutions": ("convolution",),
    "BatchNorm": ("batch_norm",),
    "matrix products": ("mm", "matmul", "linear"),
    "optimizers, clipping": ("_foreach", "_fused"),
}
"""What torch's operators do, by parts of their names. A profiler takes longer than the many small others."""


@dataclass
class Part:
    """What a part of the step costs, and what it has to do."""

    seconds: list[float] = field(default_factory=list)
    multiply_adds: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Work:
    """Multiply-adds and bytes of a call."""

    multiply_adds: float
    bytes: float


def convolutions(shape: Shape, jobs: list[Job], *, is_backward: bool) -> Work:
    """Work of a call that runs separable convolutions forward or backward."""
    pixels = shape.batch * shape.height * shape.width * shape.channels
    outputs = pixels // shape.height // shape.width
    outputs *= -(-shape.height // shape.stride) * -(-shape.width // shape.stride)
    products, numbers = 0, pixels * len({job.x for job in jobs})
    for job in jobs:
        taps, is_learning = job.kernel**2, bool(job.grad_pointwise)
        products += outputs * (shape.channels + taps) * (1 + is_learning)
        if is_learning:  # two products more, for one of which the depthwise convolution runs again
            products += outputs * taps
    numbers += outputs * len(jobs)
    if is_backward:
        numbers += outputs * len({job.grad for job in jobs})
        numbers += pixels * len({job.grad_x for job in jobs}) * (1 + bool(jobs[0].accumulate))
    return Work(products, FLOAT * numbers)


def maps(shape: Shape, count: int, *, products: float) -> Work:
    """Work of a call that goes once through `count` maps."""
    size = shape.batch * shape.height * shape.width * shape.channels
    return Work(products * size, FLOAT * count * size)


def work(name: str, shape: Shape, items: int, count: int) -> Work:
    """Work of a loop on `count` jobs or terms at an address."""
    reduced = 1 / shape.stride**2
    if name in ("forward", "backward"):
        jobs = cast(items, POINTER(Job))[:count]
        return convolutions(shape, jobs, is_backward=name == "backward")
    if name in ("combine", "dots"):
        terms = cast(items, POINTER(Term))[:count]
        read = len({term.x for term in terms if term.x}) + len({term.map for term in terms})
        return maps(shape, read, products=count * (1 if name == "combine" else 2))
    if name == "normalize":
        return Work(0, 0)
    if name in ("product", "product_backward"):
        job = cast(items, POINTER(Product))[0]
        wanted = bool(job.grad_x) + bool(job.grad_weights) if job.grad else 1
        read = job.inputs + job.outputs * (2 if job.grad else 1) + job.inputs * bool(job.grad_x)
        return Work(job.pixels * job.inputs * job.outputs * wanted, FLOAT * job.pixels * read)
    if name == "pool":
        return maps(shape, 1 + 2 * reduced, products=9 * reduced)
    return maps(shape, 3 + 3 * reduced, products=9 * reduced)  # pool_backward


@contextmanager
def clock(parts: dict[str, Part]) -> Iterator[dict[str, float]]:
    """Time every loop within, and count its work; yields the seconds by name."""
    library = kernels.library()
    if library is None:
        raise SystemExit("error: there is no C++ compiler here, so there are no loops to measure")
    seconds: dict[str, float] = defaultdict(float)
    began = 0.0

    def told(loop: bytes, at: Any, items: int, count: int, has_ended: int) -> None:
        nonlocal began
        if not has_ended:
            began = time.process_time()
            return
        took, name, shape = time.process_time() - began, loop.decode(), at.contents
        label = f"{name}, stride {shape.stride}" if name in ("forward", "backward") else name
        seconds[label] += took
        done = work(name, shape, items, count)
        parts[label].multiply_adds += done.multiply_adds
        parts[label].bytes += done.bytes

    observer = Observer(told)
    library.observe(observer)
    try:
        yield seconds
    finally:
        library.observe(Observer())


def peak(size: int = 1024) -> float:
    """Multiply-adds per second of a product of two matrices, on one thread."""
    import torch

    left, right = torch.randn(size, size), torch.randn(size, size)
    return size**3 / _least(lambda: left @ right)


def bandwidth(megabytes: int = 256) -> float:
    """Bytes per second of the sum of two arrays far larger than the caches, on one thread."""
    import torch

    one, other = (torch.ones(megabytes * 2**20 // FLOAT) for _ in range(2))
    out = torch.empty_like(one)
    return 3 * FLOAT * one.numel() / _least(lambda: torch.add(one, other, out=out))


def _least(action: Callable[[], Any], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        action()
        seconds.append(time.process_time() - began)
    return min(seconds[1:])


def torch_parts(step: Callable[[], None]) -> dict[str, float]:
    """CPU seconds of torch's operators in a step, by what they do."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    seconds: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            for kind, words in TORCH.items():
                if any(word in event.key for word in words):
                    seconds[kind] += event.self_cpu_time_total / 1e6
    return seconds


def measure(setting: Setting, rounds: int) -> dict[str, Any]:
    """The parts of a step of alphas and weights, in alternation with the processor's limits."""
    import torch

    torch.set_num_threads(1)
    step = our_step(setting)
    step()
    parts: dict[str, Part] = defaultdict(Part)
    peaks, bandwidths, totals = [], [], []
    for _ in range(rounds):
        peaks.append(peak())
        bandwidths.append(bandwidth())
        fresh: dict[str, Part] = defaultdict(Part)
        with clock(fresh) as seconds_of:
            began = time.process_time()
            step()
            totals.append(time.process_time() - began)
        for name, seconds in seconds_of.items():
            parts[name].seconds.append(seconds)
            parts[name].multiply_adds, parts[name].bytes = fresh[name].multiply_adds, fresh[name].bytes
        for name, seconds in torch_parts(step).items():
            parts[f"torch: {name}"].seconds.append(seconds)
    top, wide, total = (statistics.median(values) for values in (peaks, bandwidths, totals))
    rows = [_row(name, part, top, wide) for name, part in parts.items()]
    known = sum(row["seconds"] for row in rows)
    rest = {"part": "elementwise, copies, Python", "seconds": max(0.0, total - known)}
    return {
        "cell": setting.variant,
        "width": setting.width,
        "layers": setting.layers,
        "batch": setting.batch,
        "order": setting.order,
        "seconds": total,
        "least": min(totals),
        "most": max(totals),
        "peak": top,
        "bandwidth": wide,
        "parts": [*sorted(rows, key=lambda row: -row["seconds"]), rest],
    }


def _row(name: str, part: Part, top: float, wide: float) -> dict[str, Any]:
    seconds = statistics.median(part.seconds)
    row = {"part": name, "seconds": seconds, "least": min(part.seconds), "most": max(part.seconds)}
    if not part.bytes:
        return row
    computing, moving = part.multiply_adds / top, part.bytes / wide
    return row | {
        "multiply_adds": part.multiply_adds,
        "bytes": part.bytes,
        "bound": max(computing, moving),
        "bound_by": "arithmetic" if computing > moving else "memory",
        "share_of_bound": max(computing, moving) / seconds,
    }


def text(found: dict[str, Any]) -> str:
    """The table of a step."""
    size = f"width {found['width']}, {found['layers']} layers, batch {found['batch']}"
    lines = [
        f"## Order {found['order']}, {size}, {found['cell']} cell\n",
        f"{found['seconds']:.2f} CPU seconds a step ({found['least']:.2f} - {found['most']:.2f}); peak "
        f"{found['peak'] / 1e9:.1f} billion multiply-adds and {found['bandwidth'] / 1e9:.1f} GB a second.\n",
        "| part | seconds | share of the step | million multiply-adds | MB | bound, s | share of its bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["parts"]:
        cells = [row["part"], f"{row['seconds']:.3f}", f"{row['seconds'] / found['seconds']:.0%}"]
        if "bound" in row:
            reached = f"{row['share_of_bound']:.0%}" + (
                ", at its limit" if row["share_of_bound"] >= LIMIT else ""
            )
            bound = f"{row['bound']:.3f} ({row['bound_by']})"
            cells += [f"{row['multiply_adds'] / 1e6:.0f}", f"{row['bytes'] / 1e6:.0f}", bound, reached]
        else:
            cells += [""] * 4
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the tables, write them and the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--order", type=int, default=1, choices=(1, 2))
    parser.add_argument("--partial-channels", action="store_true", help="of each cell a quarter is processed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="roofline", help="of the files under benchmarks/results")
    options = parser.parse_args()
    from nastransfer_nni.base.files import write_json, write_text

    before = machine()
    variant = "fast, partial" if options.partial_channels else "fast"
    found = [
        measure(Setting(variant, options.width, options.layers, batch, options.order, 1), options.rounds)
        for batch in options.batches
    ]
    table = "\n\n".join(map(text, found))
    print(table)
    write_json(RESULTS / f"{options.name}.json", {"machine": before, "steps": found})
    write_text(
        RESULTS / f"{options.name}.md", f"# A search step against the limits of {before['cpu']}\n\n{table}\n"
    )


if __name__ == "__main__":
    main()
