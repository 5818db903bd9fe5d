"""Where the time of whole searches and transfers goes, from the command to its end.

    python -m benchmarks.whole                                     # all cases, three rounds
    python -m benchmarks.whole --only "search digits" --rounds 5
    python -m benchmarks.whole --beside ../before                  # another checkout takes turns, and ratios

Each command runs in a process of its own. Its processor seconds, without those of data workers, are divided
among start-up, data, batches, steps, evaluation, writing and the rest. Of 1.28 million labels the search ends
after its first step; its second round finds what the first has cached. Prints shares and writes
benchmarks/results/whole.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.divided import DECODED, IN_MEMORY, PARTS
from benchmarks.fresh import machine, spread
from nastransfer_nni.base.files import write_json

RESULTS = Path(__file__).parent / "results" / "whole.json"
ROOT = Path(__file__).resolve().parents[1]
LABELS, LABEL_CLASSES = 1_281_167, 1_000
IMPORTS = {
    "torch": "torch",
    "torch._dynamo, which the first optimizer imports": "torch._dynamo",
    "pandas, which NNI imports": "pandas",
    "scipy.stats, which NNI imports": "scipy.stats",
    "torchvision, which torchmetrics imports": "torchvision",
    "Matplotlib, which torchmetrics imports": "matplotlib.pyplot",
    "torchmetrics, which Lightning imports": "torchmetrics",
    "Lightning, which NNI's one-shot strategies subclass": "pytorch_lightning",
    "NNI": "search_spaces.nni_api",
    "the search": "nastransfer_nni.search.experiment",
}
"""What a search imports; each module counts only what those before it have not brought."""
IMPORTER = """
import gc, importlib, json, sys, time
gc.disable()
found, before = {}, 0.0  # the first one counts the start of Python
for what, module in json.loads(sys.argv[1]).items():
    importlib.import_module(module)
    now = time.process_time()
    found[what], before = now - before, now
print(json.dumps(found))
"""
CASES: dict[str, str] = {
    "search digits": "--epochs 5 --width 8 --layers 5",
    "search cifar10": "--source cifar10 --proxy images:0.05 --epochs 2 --width 8 --layers 5",
    "search photographs": "--source imagenet_sample --img-size 128 --epochs 3 --width 4 --layers 3 "
    "--workers 0",
    "search labels": "--source {labels} --img-size 128 --width 2 --layers 3 --workers 0 --batch-size 8",
    "transfer digits": "DARTS_V2 --epochs 5 --width 8 --layers 5",
    "transfer cifar10": "DARTS_V2 --target cifar10 --train-images 10000 --epochs 1 --width 8 --layers 5",
    "transfer photographs": "DARTS_V2 --target imagenet_sample --val-share 0.2 --img-size 128 --epochs 3 "
    "--width 4 --layers 3 --workers 0",
}


def write_labels(folder: Path) -> None:
    """A Parquet file of the size of ImageNet whose images are few and small."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    from PIL import Image

    rng, images = np.random.default_rng(0), []
    for shade in range(0, 256, 16):
        file = io.BytesIO()
        Image.new("L", (8, 8), shade).save(file, "JPEG", quality=1, optimize=True)
        images.append({"bytes": file.getvalue(), "path": None})
    column = pyarrow.array(images).take(pyarrow.array(rng.integers(0, len(images), LABELS)))
    labels = pyarrow.array(rng.integers(0, LABEL_CLASSES, LABELS))
    folder.mkdir()
    pyarrow.parquet.write_table(
        pyarrow.table({"image": column, "label": labels}), folder / "train.parquet", row_group_size=10_000
    )


def run(name: str, code: Path, scratch: Path) -> dict[str, Any]:
    """Run a case with the code of a checkout; how its time divides."""
    command = name.partition(" ")[0]
    arguments = CASES[name].format(labels=scratch / "labels").split()
    is_decoded = "--img-size" in arguments
    result = scratch / "result.json"
    environment = {**os.environ, "PYTHONPATH": str(code), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if name == "search labels":
        environment |= {
            "HF_HOME": str(scratch / "hf"),
            "NASTRANSFER_CACHE": str(scratch / f"cache-{code.name}"),
        }
    fixed = [
        str(result),
        str(time.time()),
        "yes" if name == "search labels" else "no",
        DECODED if is_decoded else IN_MEMORY,
    ]
    out = ["--out", str(scratch / "run"), "--overwrite", "--device", "cpu"]
    program = str(ROOT / "benchmarks" / "divided.py")
    ran = subprocess.run(
        [sys.executable, program, *fixed, command, *arguments, *out],
        env=environment,
        cwd=scratch,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        sys.exit(f"{name}: {ran.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def imports(rounds: int) -> dict[str, Any]:
    """Processor seconds of what a search imports, without garbage collection, as a search does it."""
    found: dict[str, list[float]] = {what: [] for what in (*IMPORTS, "all")}
    for _ in range(rounds):
        command = [sys.executable, "-W", "ignore", "-c", IMPORTER, json.dumps(IMPORTS)]
        seconds = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for what, value in (seconds | {"all": sum(seconds.values())}).items():
            found[what].append(value)
    return {what: spread(values) for what, values in found.items()}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of all rounds of a case."""
    shares = {part: spread([100 * run["parts"][part] / run["cpu"] for run in runs]) for part in PARTS}
    return {
        "cpu_seconds": spread([run["cpu"] for run in runs]),
        "wall_seconds": spread([run["wall"] for run in runs]),
        "cpu_seconds_to_first_step": spread([run["first_step"]["cpu"] for run in runs]),
        "wall_seconds_to_first_step": spread([run["first_step"]["wall"] for run in runs]),
        "percent": shares,
    }


def keep(name: str, found: dict[str, Any]) -> None:
    """Add the figures of a case to those of others."""
    earlier = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, earlier | {"machine": machine(), name: found})


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=["imports", *CASES], default=["imports", *CASES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="folder of another checkout")
    options = parser.parse_args()
    codes = {"here": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    if "imports" in options.only:
        imported = imports(options.rounds)
        keep("imports", imported)
        for what, seconds in imported.items():
            print(
                f"{what:52} {seconds['median']:6.2f} s ({seconds['min']:.2f} - {seconds['max']:.2f})",
                flush=True,
            )
    for name in (name for name in CASES if name in options.only):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            if name == "search labels":
                write_labels(scratch / "labels")
            runs: dict[str, list[dict[str, Any]]] = {who: [] for who in codes}
            for _ in range(options.rounds):
                for who, code in codes.items():
                    runs[who].append(run(name, code, scratch))
        found: dict[str, Any] = {"command": f"{name.partition(' ')[0]} {CASES[name]}", "rounds": runs}
        found |= {who: summary(rounds) for who, rounds in runs.items()}
        if options.beside:
            found["here_over_beside"] = {
                what: spread([value(one) / value(other) for one, other in zip(*runs.values(), strict=True)])
                for what, value in (
                    ("cpu", lambda run: run["cpu"]),
                    ("first_step_cpu", lambda run: run["first_step"]["cpu"]),
                    ("without_steps", lambda run: run["cpu"] - run["parts"]["steps"]),
                )
            }
        keep(name, found)
        shown = ", ".join(f"{part} {found['here']['percent'][part]['median']:.1f}%" for part in PARTS)
        print(f"{name}: {found['here']['cpu_seconds']['median']:.1f} s of the processor; {shown}")
        cpu, wall = (found["here"][f"{clock}_seconds_to_first_step"]["median"] for clock in ("cpu", "wall"))
        print(f"  to the first step {cpu:.1f} s of the processor, {wall:.1f} s on the wall")
        print(f"  {json.dumps(found.get('here_over_beside', {}))}", flush=True)


if __name__ == "__main__":
    main()
