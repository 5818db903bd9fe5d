"""Kill a run before every single change that it makes to a file, start it again, compare with one left alone.

    python -m benchmarks.kill_points                 # a transfer and three searches, some 20 minutes
    python -m benchmarks.kill_points transfer darts

Each run is a small one on the bundled digits. It is killed before its first change to a file, another before
its second, and so on until one comes through. Started again with the same options, every one that was killed
must end with the files, metrics and weights of the run that was left alone. Writes
benchmarks/results/kill_points.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.killing import die_before_change, in_a_fork
from nastransfer_nni.base import torch_io
from nastransfer_nni.base.files import write_json
from nastransfer_nni.search import experiment, recorder
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.search.run import search
from nastransfer_nni.transfer import run as transfer_run
from nastransfer_nni.transfer.config import TransferConfig
from nastransfer_nni.transfer.run import transfer

RESULTS = Path(__file__).parent / "results"
PRELOADED = (experiment, transfer_run)  # imported once, before any fork
CLOCKS = ("seconds", "per_second")
OTHERS = ("architecture", "front")  # paths, and what has them in it
SEARCHED = ("own", "supernet", "optimizer", "scheduler")  # in a search's checkpoint: alphas and all else


def run_transfer(out: Path) -> None:
    """A transfer with averaged weights, checkpoints within its epochs and of its best two."""
    transfer(
        TransferConfig(
            arch="DARTS_V2",
            target="digits",
            epochs=3,
            width=2,
            layers=3,
            model_ema=True,
            recovery_interval=5,
            checkpoint_hist=2,
            workers=0,
            device="cpu",
            out=str(out),
        )
    )


def run_search(strategy: str, epochs: int) -> Callable[[Path], None]:
    """A search with the strategy."""

    def run(out: Path) -> None:
        search(
            SearchConfig(
                strategy=strategy,
                proxy="images:200",
                epochs=epochs,
                batch_size=32,
                width=2,
                layers=3,
                device="cpu",
                out=str(out),
            )
        )

    return run


RUNS: dict[str, Callable[[Path], None]] = {
    "transfer": run_transfer,
    "darts": run_search("darts", epochs=2),
    "random_ws": run_search("random_ws:candidates=6,finalists=2,batches=1", epochs=2),
    "evolution": run_search("evolution:population=3,tournament=2,candidates=4", epochs=1),
}


def outcome(out: Path) -> dict[str, Any]:
    """The whole result of a finished run, without times."""
    files = {path.relative_to(out) for path in out.rglob("*")}
    lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
    every_epoch = out / recorder.GENOTYPES_FILE
    last, searched = (torch_io.load(out / "checkpoints" / name) for name in ("last.pt", "search.pt"))
    weights = {} if last is None else {name: last[name] for name in ("state_dict", "state_dict_ema")}
    return {
        "files": sorted(map(str, filter(_is_ours, files))),
        "status": json.loads((out / "status.json").read_text("utf-8"))["status"],
        "summary": _timeless(json.loads((out / "summary.json").read_text("utf-8"))),
        "metrics": [_timeless(json.loads(line)) for line in lines],
        "architectures": every_epoch.read_text("utf-8") if every_epoch.exists() else "",
        "weights": weights if searched is None else weights | {name: searched[name] for name in SEARCHED},
    }


def _is_ours(path: Path) -> bool:
    """Whether a run's file has the same name in every run; NNI and TensorBoard name theirs by the time."""
    return path.parts[0] not in {"nni", "tensorboard"}


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.endswith(CLOCKS) and name not in OTHERS}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What the two outcomes differ in, to the last bit."""
    return [key for key in one if not _same(one[key], other[key])]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, tensors and what holds them included."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def kill_everywhere(run: Callable[[Path], None], folder: Path) -> dict[str, Any]:
    """Kill `run` before each of its changes; returns how many there are and what went wrong."""
    log = folder / "log.txt"
    began = time.perf_counter()
    if in_a_fork(lambda: run(folder / "alone"), log):
        raise SystemExit(log.read_text("utf-8"))
    alone = outcome(folder / "alone")
    changes, wrong = 0, list[str]()
    while True:
        out = folder / f"killed-{changes}"

        def killed(out: Path = out, number: int = changes) -> None:
            die_before_change(number, out)
            run(out)

        if in_a_fork(killed, log) == 0:
            return {"changes": changes, "wrong": wrong, "seconds": round(time.perf_counter() - began, 1)}
        if in_a_fork(lambda out=out: run(out), log):
            wrong.append(f"before change {changes}: {log.read_text('utf-8').splitlines()[-1]}")
        elif differing := differences(alone, outcome(out)):
            wrong.append(f"before change {changes}: other {', '.join(differing)}")
        changes += 1


def main() -> None:
    """Kill, start again, compare; exits with 1 where a result differs."""
    names = sys.argv[1:] or list(RUNS)
    if unknown := set(names) - set(RUNS):
        sys.exit(f"no such run: {', '.join(unknown)}; there are: {', '.join(RUNS)}")
    torch.set_num_threads(1)  # the runs are too small for more
    results = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = kill_everywhere(RUNS[name], Path(folder))
        found = results[name]
        print(
            f"{name}: killed before each of {found['changes']} changes, {len(found['wrong'])} wrong",
            flush=True,
        )
        for line in found["wrong"]:
            print(f"  {line}", flush=True)
    write_json(RESULTS / "kill_points.json", results)
    sys.exit(any(found["wrong"] for found in results.values()))


if __name__ == "__main__":
    main()
