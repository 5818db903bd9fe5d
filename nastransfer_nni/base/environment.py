"""The environment of this process: variables that change for a while, and processor cores."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def changed_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for the block, and restore them after it; None removes a variable."""
    before = {name: os.environ.get(name) for name in changes}
    _apply(changes)
    try:
        yield
    finally:
        _apply(before)


def _apply(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def available_cores() -> int:
    """Number of processor cores that this process may use, which a container or `taskset` can limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, *_granted_cores(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")), cores)


def _granted_cores(membership: Path, root: Path) -> Iterator[int]:
    """Cores whose time Linux's control groups grant this process, rounded up, group by group.

    Args:
        membership: file with the process's group in each hierarchy, as in `0::/user.slice`.
        root: folder of the groups: of version 2, or of version 1 with a sub-folder `cpu`.
    """
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = root / "cpu" if controllers else root
            group = top / name.lstrip("/")
            for folder in (group, *group.parents):  # a group limits those below it, too
                if folder.is_relative_to(top):
                    yield from _limit(folder)


def _limit(group: Path) -> Iterator[int]:
    """The limit of one group, in version 2 or 1; none for `max` and -1, and where there is no such file."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            if quota > 0:
                yield math.ceil(quota / period)
