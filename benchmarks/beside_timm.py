"""Processor seconds of the training epochs of timm's script or of ours: `benchmarks.transfer` runs this.

Each runs in a process of its own: `python -m benchmarks.beside_timm RESULT SCRIPT ARGUMENTS`, where `ours` as
the script stands for the transfer command. Writes a line for every epoch: seconds, processor seconds of this
process, and those of its data workers.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def spent() -> tuple[float, float, float]:
    """Time, processor seconds of this process, and those of its live data workers."""
    workers = 0.0
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        workers += times.user + times.system
    return time.perf_counter(), time.process_time(), workers


def measured(epoch: Callable[..., Any], result: Path) -> Callable[..., Any]:
    """The function that trains an epoch, with a line written after each call."""

    @functools.wraps(epoch)
    def run(*arguments: Any, **options: Any) -> Any:
        before = spent()
        returned = epoch(*arguments, **options)
        line = [after - start for after, start in zip(spent(), before, strict=True)]
        with result.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(zip(("seconds", "cpu", "workers"), line, strict=True))) + "\n")
        return returned

    return run


def main(result: Path, script: str, arguments: list[str]) -> None:
    """Run the script, or our command, with its epochs measured."""
    if script == "ours":
        from nastransfer_nni.base import cli
        from nastransfer_nni.commands import COMMANDS
        from nastransfer_nni.training import loop

        loop._Loop._train_steps = measured(loop._Loop._train_steps, result)  # type: ignore[method-assign]
        cli.main("nastransfer", COMMANDS, ["transfer", *arguments])
        return
    spec = importlib.util.spec_from_file_location("timm_script", script)
    assert spec is not None and spec.loader is not None, "a Python file"
    module: Any = importlib.util.module_from_spec(spec)
    sys.argv = [script, *arguments]
    spec.loader.exec_module(module)
    module.train_one_epoch = measured(module.train_one_epoch, result)
    module.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
