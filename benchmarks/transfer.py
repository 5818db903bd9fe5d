"""Training throughput beside timm's own script: same network, images and settings.

`python -m benchmarks.transfer path/to/timm/train.py` trains DARTS_V2 from folders of images, once of small
ones and once of photographs (where `NASTRANSFER_DATA` has them). The two commands take turns, each first in
every other pair. It prints images per second, the CPU seconds of the whole commands and
where our time goes by kind of operation, and writes `benchmarks/results/transfer.json`.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import data_folder
from nastransfer_nni.models.darts import DartsModel

RESULTS = Path(__file__).parent / "results" / "transfer.json"
REPEATS, EPOCHS, WIDTH, LAYERS, WORKERS = 5, 2, 8, 5, 1
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"pixels": 32, "batch": 64, "stem": "cifar"},
    "imagenet_sample": {"pixels": 96, "batch": 50, "stem": "imagenet"},
}


def as_folder(name: str, folder: Path, pixels: int) -> int:
    """Write a set as a folder a class, for both parts; returns the number of classes."""
    images = load(sources.check(name), "train")
    for row in range(len(images)):
        label = images.labels[row]
        for part in (
            ("train", "validation") if row < 100 or len(images) == len(images.classes) else ("train",)
        ):
            path = folder / part / f"class{label:04d}" / f"{row}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = images.image(row)
            (image.resize((pixels, pixels)) if image.width < pixels else image).save(path, quality=95)
    return len(images.classes)


def timm_command(script: Path, folder: Path, out: Path, classes: int, setting: dict[str, Any]) -> list[str]:
    """The training of timm's script."""
    pixels, batch = setting["pixels"], setting["batch"]
    options = f"--epochs {EPOCHS} -b {batch} --opt momentum --lr 0.025 --warmup-epochs 0 --workers {WORKERS}"
    options += f" --num-classes {classes} --input-size 3 {pixels} {pixels} --smoothing 0 --clip-grad 5"
    options += " --color-jitter 0 --hflip 0.5 --device cpu --channels-last --weight-decay 3e-4"
    network = f"architecture=DARTS_V2 width={WIDTH} layers={LAYERS} stem={setting['stem']}"
    command = [sys.executable, str(script), "--data-dir", str(folder), "--output", str(out), *options.split()]
    command += ["--device-modules", "nastransfer_nni.models", "--model", "nastransfer_darts"]
    return [*command, "--model-kwargs", *network.split()]


def our_command(folder: Path, out: Path, setting: dict[str, Any]) -> list[str]:
    """The same by the transfer command; `--vflip` takes small images through timm's transforms, too."""
    pixels, batch = setting["pixels"], setting["batch"]
    options = f"--img-size {pixels} --batch-size {batch} --width {WIDTH} --layers {LAYERS} --epochs {EPOCHS}"
    options += f" --workers {WORKERS} --device cpu --drop-path 0 --cutout 0 --color-jitter 0 --vflip 1e-9"
    command = [sys.executable, "-m", "nastransfer_nni.transfer", "DARTS_V2", "--target", str(folder)]
    return [*command, "--out", str(out), "--overwrite", "--auxiliary-weight", "0", *options.split()]


def run(command: list[str], folder: Path) -> tuple[str, float]:
    """Run a command; what it said and its CPU seconds."""
    path = folder / "said"
    with path.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(path.read_text("utf-8"))
    return path.read_text("utf-8"), round(usage.ru_utime + usage.ru_stime, 1)


def shares(pixels: int, batch: int, stem: str) -> dict[str, float]:
    """Percent of the time of training steps that the largest kinds of operation take."""
    model = DartsModel("DARTS_V2", WIDTH, LAYERS, 10, stem=stem).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)
    model(images).sum().backward()
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        for _ in range(3):
            model(images).sum().backward()
    times = {event.key: event.self_cpu_time_total for event in measured.key_averages()}
    largest = sorted(times, key=lambda key: -times[key])[:8]
    return {key: round(100 * times[key] / sum(times.values()), 1) for key in largest}


def main() -> None:
    """Measure, print and write."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m benchmarks.transfer path/to/timm/train.py")
    script = Path(sys.argv[1]).resolve()
    results: dict[str, dict[str, Any]] = {}
    root = data_folder()
    for name, setting in SETTINGS.items():
        if name != "digits" and not (root and (root / name).is_dir()):
            print(f"{name}: left out, NASTRANSFER_DATA does not have it")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder, out = Path(scratch, "images"), Path(scratch, "runs")
            out.mkdir()
            classes = as_folder(name, folder, setting["pixels"])
            rates: dict[str, list[float]] = {"timm": [], "ours": []}
            seconds: dict[str, list[float]] = {"timm": [], "ours": []}
            ours = out / "ours"
            commands = {
                "timm": timm_command(script, folder, out, classes, setting),
                "ours": our_command(folder, ours, setting),
            }
            for repeat in range(REPEATS):
                said = {}
                for who in sorted(commands, reverse=bool(repeat % 2)):
                    said[who], spent = run(commands[who], out)
                    seconds[who].append(spent)
                found = re.findall(r"Train: (\d+) .*\(.*?([\d.]+)/s\)", said["timm"])
                rates["timm"].append(float([rate for epoch, rate in found if int(epoch) == EPOCHS - 1][-1]))
                lines = read_records(ours / "metrics.jsonl")
                rates["ours"].append(round(lines[-2]["images_per_second"], 2))
        ratios = [a / b for a, b in zip(rates["ours"], rates["timm"], strict=True)]
        results[name] = {**setting, "images_per_second": rates, "cpu_seconds": seconds}
        results[name]["ours_over_timm"] = {
            what: round(of(ratios), 3)
            for what, of in (("median", statistics.median), ("min", min), ("max", max))
        }
        results[name]["shares"] = shares(setting["pixels"], setting["batch"], setting["stem"])
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
