"""Training throughput beside timm's own script: same network, same images, same settings, taken in turns.

`python -m benchmarks.transfer path/to/timm/train.py` trains DARTS_V2 from folders of images, once of small
ones and once of photographs (where `NASTRANSFER_DATA` has them), prints images per second and where our time
goes by kind of operation, and writes `benchmarks/results/transfer.json`.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import data_folder
from nastransfer_nni.files import write_json
from nastransfer_nni.models import DartsModel

RESULTS = Path(__file__).parent / "results" / "transfer.json"
REPEATS, EPOCHS, WIDTH, LAYERS, WORKERS = 3, 2, 8, 5, 1
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"pixels": 32, "batch": 64, "stem": "cifar"},
    "imagenet_sample": {"pixels": 96, "batch": 50, "stem": "imagenet"},
}


def as_folder(name: str, folder: Path, pixels: int) -> int:
    """Write a set as a folder a class, for both parts; returns the number of classes."""
    images = load(name, "train")
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


def timm_rate(
    script: Path, folder: Path, out: Path, classes: int, pixels: int, batch: int, stem: str
) -> float:
    """Images per second of timm's script in its last epoch."""
    network = f"architecture=DARTS_V2 width={WIDTH} layers={LAYERS} stem={stem}".split()
    options = f"--epochs {EPOCHS} -b {batch} --opt momentum --lr 0.025 --warmup-epochs 0 --workers {WORKERS}"
    options += f" --num-classes {classes} --input-size 3 {pixels} {pixels} --smoothing 0 --clip-grad 5"
    options += " --color-jitter 0 --hflip 0.5 --device cpu --channels-last"
    command = [sys.executable, str(script), "--data-dir", str(folder), "--output", str(out), *options.split()]
    command += ["--device-modules", "nastransfer_nni.models", "--model", "nastransfer_darts"]
    ended = subprocess.run(
        [*command, "--model-kwargs", *network], capture_output=True, text=True, check=True, cwd=out
    )
    rates = re.findall(r"Train: (\d+) .*\(.*?([\d.]+)/s\)", ended.stdout + ended.stderr)
    return float([rate for epoch, rate in rates if int(epoch) == EPOCHS - 1][-1])


def our_rate(folder: Path, out: Path, pixels: int, batch: int) -> float:
    """Images per second of the transfer command in its last epoch."""
    options = f"--img-size {pixels} --batch-size {batch} --width {WIDTH} --layers {LAYERS} --epochs {EPOCHS}"
    options += f" --workers {WORKERS} --device cpu --drop-path 0 --cutout 0 --color-jitter 0"
    command = [sys.executable, "-m", "nastransfer_nni.transfer", "DARTS_V2", "--target", str(folder)]
    command += ["--out", str(out), "--overwrite", "--auxiliary-weight", "0", *options.split()]
    subprocess.run(command, capture_output=True, check=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return float([line["images_per_second"] for line in lines if line["split"] == "train"][-1])


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
    script, results = Path(sys.argv[1]).resolve(), {}
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
            for _ in range(REPEATS):
                rates["timm"].append(timm_rate(script, folder, out, classes, **setting))
                rates["ours"].append(our_rate(folder, out / "ours", setting["pixels"], setting["batch"]))
        ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["timm"], strict=True))
        results[name] = {**setting, "images_per_second": rates, "ours_over_timm": round(ratio, 3)}
        results[name]["shares"] = shares(setting["pixels"], setting["batch"], setting["stem"])
        print(f"{name}: {json.dumps(results[name])}")
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
