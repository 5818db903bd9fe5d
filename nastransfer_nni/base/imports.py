"""Importing torch, NNI and what they bring in three quarters of the time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from nastransfer_nni.base import start


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Import in this block without garbage collection.

    torch, NNI and what they bring create some 900,000 objects that stay. The collector would look at them
    again and again while they are created, for a second in all, and for 0.4 s in each full collection after.
    In a command, they are never looked at again. Where Python code calls us, other objects lie among them, so
    they go to the oldest generation.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if not start.is_command():
            gc.unfreeze()
        if was_enabled:
            gc.enable()
