"""How fast large image sets are opened, and photographs decoded, cropped and augmented.

    python -m benchmarks.reading                              # all: some 30 minutes of one core
    python -m benchmarks.reading opening pixels               # what comes before decoding, and small images
    python -m benchmarks.reading photographs --workers 2 --images 1000

The first part reads the labels of tables of the size of ImageNet-22K, finds the files of an image folder and
indexes WebDataset shards: processor seconds, and the peak of memory above what the process held.

The second part decodes CIFAR-10 and reads its pixels from the cache.

The third part takes turns, round by round, between our loader on three storage forms and, on the same
photographs in a folder, timm's loader and torchvision's transforms (v2): random resized crops of 224 px and
mirror images. With `--workers 0`, the default, it counts processor seconds of one core, else wall seconds.
The photographs are those of `imagenet_sample`, repeated, and enlarged to the mean size of ImageNet's. Writes
benchmarks/results/reading.json.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import logging
import math
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image
from timm.data import create_dataset, create_loader
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.fresh import alternate, machine, repeated, spread
from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.base.files import write_json
from nastransfer_nni.data import hub, image_folder, shards
from nastransfer_nni.data.decoding_loader import ImageBatches
from nastransfer_nni.data.loading import load
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.photo_transform import PhotoTransform
from nastransfer_nni.data.sources import Source

RESULTS = Path(__file__).parent / "results" / "reading.json"
ROWS, CLASSES = 14_197_122, 21_841
FOLDERS, FILES, SHARDS = 300, 200, 4
PIXELS, BATCH, PHOTO_CLASSES = 224, 50, 100
MEAN_PIXELS = 469 * 387
FORMS = ("Parquet", "shards", "folders")
PARTS = ("opening", "pixels", "photographs")


def table(kind: str) -> datasets.Dataset:
    """A table of images without content, and labels as `numbers`, `words` or `classes`."""
    labels = pyarrow.array(np.random.default_rng(0).integers(0, CLASSES, ROWS))
    words = pyarrow.array([f"n{number:08d}" for number in range(CLASSES)])
    feature = datasets.ClassLabel(num_classes=CLASSES) if kind == "classes" else datasets.Value("int64")
    if kind == "words":
        labels = pyarrow.DictionaryArray.from_arrays(labels, words).cast(pyarrow.string())
        feature = datasets.Value("string")
    columns = pyarrow.table({"image": pyarrow.nulls(ROWS, pyarrow.binary()), "label": labels})
    features = datasets.Features({"image": datasets.Value("binary"), "label": feature})
    return datasets.Dataset(datasets.table.InMemoryTable(columns), datasets.DatasetInfo(features=features))


def write_folder(root: Path) -> None:
    """An image folder of empty files."""
    for folder in range(FOLDERS):
        (root / f"c{folder:03d}").mkdir(parents=True)
        for number in range(FILES):
            (root / f"c{folder:03d}" / f"{number:04d}.jpg").touch()


def write_shards(root: Path) -> list[Path]:
    """Shards of samples with an image and a label, as many as the folder has files."""
    paths = [root / f"train-{number}.tar" for number in range(SHARDS)]
    for path in paths:
        with tarfile.open(path, "w") as tar:
            for number in range(FOLDERS * FILES // SHARDS):
                for suffix, content in (("jpg", b"0" * 40), ("cls", str(number % 100).encode())):
                    member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return paths


def measured(what: str, count: int, read: Callable[[], object]) -> dict[str, Any]:
    """Print and return how much time of the processor a reader takes."""
    start = time.process_time()
    read()
    seconds = time.process_time() - start
    print(f"{what:34} {count:>12,} {seconds:8.2f} s {count / seconds:>14,.0f} a second", flush=True)
    return {"count": count, "cpu_seconds": round(seconds, 3)}


def labels_of(kind: str) -> Any:
    """Read the labels of a table once, in this process; its memory is that of the labels."""
    rows = table(kind)
    return repeated(lambda: hub.from_dataset(Source("made_up"), "train", rows), 1)


def opening() -> dict[str, Any]:
    """Measure what happens before an image is decoded."""
    found: dict[str, Any] = {}
    for kind, samples in alternate(
        labels_of, ["classes", "numbers", "words"], 1, ["benchmarks.reading"]
    ).items():
        seconds, megabytes = samples[0].cpu_seconds[0], samples[0].megabytes
        print(f"labels: {kind:26} {ROWS:>12,} {seconds:8.2f} s {megabytes:>8,.0f} MB", flush=True)
        found[f"labels: {kind}"] = {"count": ROWS, "cpu_seconds": seconds, "megabytes": megabytes}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASTRANSFER_CACHE"] = folder
        root = Path(folder)
        write_folder(root / "folder")
        count = FOLDERS * FILES
        found["files"] = measured(
            "files in class folders", count, lambda: image_folder.read(root / "folder", None)
        )
        paths = write_shards(root)
        found["samples"] = measured("samples of shards", count, lambda: shards.index(paths))
    return found


def pixels() -> dict[str, Any]:
    """Measure the pixels of CIFAR-10: decoded, and read from the cache by the runs that follow."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASTRANSFER_CACHE"] = folder
        images, found = load("cifar10"), {}
        for what in ("decoded", "kept"):
            found[what] = measured(
                f"pixels of CIFAR-10, {what}", len(images), lambda: InMemoryImages.kept(images, (32, 32))
            )
    return found


def _enlarged(image: Image.Image) -> bytes:
    """The photograph as a JPEG file with the pixels of ImageNet's mean image."""
    factor = math.sqrt(MEAN_PIXELS / (image.width * image.height))
    file = io.BytesIO()
    image.resize((round(factor * image.width), round(factor * image.height))).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_photographs(root: Path, count: int) -> None:
    """The photographs, enlarged to the mean size of ImageNet's, in three storage forms."""
    photographs = load("imagenet_sample")
    contents = [_enlarged(photographs.image(number % len(photographs))) for number in range(count)]
    labels = [number % PHOTO_CLASSES for number in range(count)]
    images = [{"bytes": content, "path": None} for content in contents]
    (root / "Parquet").mkdir()
    pyarrow.parquet.write_table(
        pyarrow.table({"image": images, "label": labels}),
        root / "Parquet" / "train.parquet",
        row_group_size=100,
    )
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "photographs-train-0000.tar", "w") as tar:
        for number, (content, label) in enumerate(zip(contents, labels, strict=True)):
            for suffix, data in (("jpg", content), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    for number, (content, label) in enumerate(zip(contents, labels, strict=True)):
        path = root / "folders" / "train" / f"c{label:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def ours(folder: Path, workers: int) -> ImageBatches:
    """Our batches of a set in a folder."""
    return ImageBatches(
        load(str(folder)),
        photo_transform=PhotoTransform(),
        pixels=PIXELS,
        batch_size=BATCH,
        is_training=True,
        workers=workers,
        processes=DistributedContext(),
    )


def timms(folder: Path, workers: int) -> Iterable[Any]:
    """Batches of timm's loader."""
    loader: Iterable[Any] = create_loader(
        create_dataset("", root=str(folder / "train")),
        (3, PIXELS, PIXELS),
        BATCH,
        is_training=True,
        color_jitter=None,
        interpolation="random",
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
    )
    return loader


def torchvisions(folder: Path, workers: int) -> Iterable[Any]:
    """Batches of torchvision's second transforms, image by image."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(PIXELS, interpolation=v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = ImageFolder(str(folder / "train"), transform)
    return DataLoader(
        images, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )


def seconds_of(batches: Iterable[Any], workers: int) -> float:
    """Seconds of an epoch: of the processor where this process does all, else on the wall."""
    clock = time.perf_counter if workers else time.process_time
    start, count = clock(), 0
    for images, _ in batches:
        count += len(images)
    return (clock() - start) / count


def photographs(count: int, workers: int, rounds: int) -> dict[str, Any]:
    """Measure decoding, cropping and augmenting, and the time to a first batch."""
    logging.getLogger("timm").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASTRANSFER_CACHE"] = str(Path(folder, "cache"))
        root, first = Path(folder), {}
        write_photographs(root, count)
        loaders: dict[str, Any] = {}
        for form in FORMS:
            start = time.perf_counter()
            loaders[form] = ours(root / form, workers)
            next(iter(loaders[form]))
            first[form] = round(time.perf_counter() - start, 3)
        loaders["timm"] = timms(root / "folders", workers)
        loaders["torchvision"] = torchvisions(root / "folders", workers)
        for loader in itertools.islice(loaders.values(), len(FORMS), None):
            next(iter(loader))
        seconds: dict[str, list[float]] = {name: [] for name in loaders}
        for number in range(rounds):
            for name in sorted(loaders, reverse=bool(number % 2)):
                if name in FORMS:
                    loaders[name].set_epoch(number + 1)  # other crops in every round, as timm has
                seconds[name].append(seconds_of(loaders[name], workers))
    found: dict[str, Any] = {"images": count, "workers": workers, "seconds_to_first_batch": first}
    found["images_per_second"] = {
        name: [round(1 / value, 1) for value in values] for name, values in seconds.items()
    }
    found["ours_over"] = {
        other: {
            form: spread([b / a for a, b in zip(seconds[form], seconds[other], strict=True)])
            for form in FORMS
        }
        for other in ("timm", "torchvision")
    }
    print(json.dumps(found, indent=1), flush=True)
    return found


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=PARTS, help="none: all")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    parts = options.parts or PARTS
    results: dict[str, Any] = {"machine": machine()}
    if "opening" in parts:
        results["opening"] = opening()
    if "pixels" in parts:
        results["pixels"] = pixels()
    if "photographs" in parts:
        name = f"photographs, {options.workers} workers"
        results[name] = photographs(options.images, options.workers, options.rounds)
    earlier = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, earlier | results)


if __name__ == "__main__":
    main()
