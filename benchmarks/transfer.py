"""Training throughput beside timm's own script: same network, images and settings.

    python -m benchmarks.transfer path/to/timm/train.py
    python -m benchmarks.transfer path/to/timm/train.py --only cifar10 --rounds 3

Trains DARTS_V2 from folders of images: digits, and with `NASTRANSFER_DATA` CIFAR-10 and photographs.
The two commands take turns, each first in every other pair. Prints, of the last epoch, images per second and
how many times as long timm's script takes, by the clock and in processor seconds of the training process and
of its data workers; and where a step's time goes. Writes `benchmarks/results/transfer.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.fresh import machine, spread
from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.reading import read_records
from nastransfer_nni.data import sources
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import data_folder
from nastransfer_nni.models.darts import DartsModel
from search_spaces.separable import use_loops

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "transfer.json"
EPOCHS, WIDTH, LAYERS, WORKERS = 2, 8, 5, 1
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"pixels": 32, "batch": 64, "stem": "cifar", "images": 22 * 64},
    "cifar10": {"pixels": 32, "batch": 64, "stem": "cifar", "images": 47 * 64},
    "imagenet_sample": {"pixels": 128, "batch": 50, "stem": "imagenet", "images": 20 * 50},
}
"""Images are whole batches, since timm's script leaves out an incomplete one."""


def as_folder(name: str, folder: Path, pixels: int, count: int) -> int:
    """Write images of a set as a folder a class, for both parts; returns the number of classes."""
    images = load(sources.check(name), "train")
    for row in range(count):
        label = images.labels[row]
        for part in ("train", "validation") if row < 100 or count == len(images.classes) else ("train",):
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
    command = [str(script), "--data-dir", str(folder), "--output", str(out), *options.split()]
    command += ["--device-modules", "nastransfer_nni.models", "--model", "nastransfer_darts"]
    return [*command, "--model-kwargs", *network.split()]


def our_command(folder: Path, out: Path, setting: dict[str, Any]) -> list[str]:
    """The same by the transfer command; `--vflip` takes small images through timm's transforms, too."""
    pixels, batch = setting["pixels"], setting["batch"]
    options = f"--img-size {pixels} --batch-size {batch} --width {WIDTH} --layers {LAYERS} --epochs {EPOCHS}"
    options += f" --workers {WORKERS} --device cpu --drop-path 0 --cutout 0 --color-jitter 0 --vflip 1e-9"
    command = ["ours", "DARTS_V2", "--target", str(folder), "--out", str(out), "--overwrite"]
    return [*command, "--auxiliary-weight", "0", *options.split()]


def run(command: list[str], scratch: Path) -> dict[str, float]:
    """Run a command; its seconds and processor seconds in the last epoch of training, and in all."""
    lines, said = scratch / "epochs.jsonl", scratch / "said"
    lines.unlink(missing_ok=True)
    program = [sys.executable, "-m", "benchmarks.beside_timm", str(lines), *command]
    with said.open("w") as file:
        process = subprocess.Popen(program, stdout=file, stderr=file, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(said.read_text("utf-8"))
    return read_records(lines)[-1] | {"whole_cpu": usage.ru_utime + usage.ru_stime}


def shares(pixels: int, batch: int, stem: str) -> dict[str, float]:
    """Percent of the time of training steps that the largest kinds of operation take."""
    model = DartsModel("DARTS_V2", WIDTH, LAYERS, 10, stem=stem).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)
    use_loops(model)
    model(images).sum().backward()
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        for _ in range(3):
            model(images).sum().backward()
    times = {event.key: event.self_cpu_time_total for event in measured.key_averages()}
    largest = sorted(times, key=lambda key: -times[key])[:8]
    return {key: round(100 * times[key] / sum(times.values()), 1) for key in largest}


def compare(name: str, script: Path, rounds: int) -> dict[str, Any]:
    """Train on a set by both commands in turn."""
    setting = SETTINGS[name]
    taken: dict[str, list[dict[str, float]]] = {"timm": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        scratch, images = Path(folder), Path(folder, "images")
        classes = as_folder(name, images, setting["pixels"], setting["images"])
        commands = {
            "timm": timm_command(script, images, scratch / "timm", classes, setting),
            "ours": our_command(images, scratch / "ours", setting),
        }
        for number in range(rounds):
            for who in sorted(commands, reverse=bool(number % 2)):
                taken[who].append(run(commands[who], scratch))
    pairs = list(zip(taken["timm"], taken["ours"], strict=True))
    ratios = {what: spread([timm[what] / ours[what] for timm, ours in pairs]) for what in pairs[0][0]}
    rates = {who: spread([setting["images"] / one["seconds"] for one in runs]) for who, runs in taken.items()}
    parts = shares(setting["pixels"], setting["batch"], setting["stem"])
    found = {"images_per_second": rates, "times_timm": ratios, "shares": parts}
    return setting | found | {"rounds": taken, "machine": machine()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("script", type=Path, help="timm's train.py")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results, root = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}, data_folder()
    for name in options.only:
        if name != "digits" and not (root and (root / name).is_dir()):
            print(f"{name}: left out, NASTRANSFER_DATA does not have it")
            continue
        results[name] = compare(name, options.script.resolve(), options.rounds)
        shown = {what: results[name][what] for what in ("images_per_second", "times_timm", "shares")}
        print(f"{name}: {json.dumps(shown)}", flush=True)
        write_json(RESULTS, results)


if __name__ == "__main__":
    main()
