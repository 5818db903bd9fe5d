"""Where the processor time of one command goes: `benchmarks.whole` runs this in a process of its own.

It imports nothing but the code that it measures, which may be that of another checkout.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PARTS = ("start-up", "data", "batches", "steps", "evaluation", "writing", "rest")
SEARCH = "nastransfer_nni.search"
MEASURED = {
    "search": {
        f"{SEARCH}.experiment:run_search": "rest",
        f"{SEARCH}.experiment:resolve": "data",
        f"{SEARCH}.experiment:write_manifest": "data",
        f"{SEARCH}.experiment:make_batches": "data",
        f"{SEARCH}.experiment:_export": "writing",
        f"{SEARCH}.recorder:SearchRecorder.log": "writing",
        f"{SEARCH}.recorder:SearchRecorder.record": "writing",
        "nastransfer_nni.base.torch_io:save": "writing",
        "strategies.darts.search:Darts.train_epoch": "steps",
        "strategies.darts.search:Darts.derive": "evaluation",
    },
    "transfer": {
        "nastransfer_nni.transfer.training:run_training": "rest",
        "nastransfer_nni.transfer.training:open_target": "data",
        "nastransfer_nni.transfer.training:loaders": "data",
        "nastransfer_nni.transfer.recorder:Recorder.epoch_done": "writing",
        "nastransfer_nni.transfer.recorder:Recorder.finish": "writing",
        "nastransfer_nni.training.loop:_Loop._train_steps": "steps",
        "nastransfer_nni.training.loop:_Loop._evaluate": "evaluation",
        "nastransfer_nni.training.loop:_Loop._save": "writing",
    },
}
"""The functions whose time is counted, and the part that each belongs to."""
STEP_DONE = {
    "search": f"{SEARCH}.recorder:SearchRecorder.advance",
    "transfer": "nastransfer_nni.transfer.recorder:Recorder.step_done",
}
IN_MEMORY = "nastransfer_nni.data.batch_loader:BatchLoader.__iter__"
DECODED = "nastransfer_nni.data.decoding_loader:ImageBatches.__iter__"


class Clock:
    """Divides the processor time of this process among parts; the innermost part counts.

    Attributes:
        seconds: seconds of each part so far.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._stack, self._since = ["start-up"], 0.0  # the time since the process began

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block as a part."""
        self._charge()
        self._stack.append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()


def replace_attribute(place: str, change: Callable[[Any], Any]) -> None:
    """Put a measured function in place of `module:name` or `module:Class.name`."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, change(getattr(owner, name)))


def _as_a_command_imports() -> contextlib.AbstractContextManager[None]:
    """How commands of the checkout import what takes long."""
    try:
        from nastransfer_nni.base.imports import without_collection
    except ImportError:
        return contextlib.nullcontext()
    return without_collection()


def divide(argv: list[str]) -> None:
    """Run one command in this process and write how its time divides.

    Args:
        argv: file for the result, when the process was started, whether it ends after a step, which batches
            it takes, and the command.
    """
    result, started, only_one, batches, command, *arguments = argv
    clock, first_step = Clock(), dict[str, float]()

    def counted(part: str) -> Callable[[Any], Any]:
        def change(function: Any) -> Any:
            def measured(*args: Any, **options: Any) -> Any:
                with clock.part(part):
                    return function(*args, **options)

            return measured

        return change

    def counted_batches(function: Any) -> Any:
        def measured(loader: Any) -> Iterator[Any]:
            batches = function(loader)
            while True:
                with clock.part("batches"):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

        return measured

    def noted(function: Any) -> Any:
        def measured(*args: Any) -> Any:
            if not first_step:
                first_step.update(cpu=time.process_time(), wall=time.time() - float(started))
                if only_one == "yes":
                    finish()
                    os._exit(0)
            return function(*args)

        return measured

    def finish() -> None:
        with clock.part("rest"):
            parts = {part: round(clock.seconds[part], 3) for part in PARTS}
        wall = time.time() - float(started)
        figures = {"parts": parts, "cpu": time.process_time(), "wall": wall, "first_step": first_step}
        Path(result).write_text(json.dumps(figures), "utf-8")

    sys.argv[0] = "nastransfer"  # a command imports otherwise than Python code: see `is_command`
    from nastransfer_nni.base import cli
    from nastransfer_nni.commands import COMMANDS

    with _as_a_command_imports():
        for place, part in MEASURED[command].items():
            replace_attribute(place, counted(part))
        replace_attribute(STEP_DONE[command], noted)
        replace_attribute(batches, counted_batches)
    try:
        cli.main("nastransfer", COMMANDS, [command, *arguments])
    finally:
        finish()


if __name__ == "__main__":
    divide(sys.argv[1:])
