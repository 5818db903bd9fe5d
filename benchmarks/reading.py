"""How fast labels and files of large image sets are read, before any image is decoded.

`python -m benchmarks.reading` reads the labels of tables of the size of ImageNet-22K, finds the files of an
image folder, indexes WebDataset shards, and prints the seconds of one core that each takes.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow

from nastransfer_nni.data import hub, image_folder, shards
from nastransfer_nni.data.sources import Source

ROWS, CLASSES = 14_197_122, 21_841
FOLDERS, FILES, SHARDS = 300, 200, 4


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


def measured(what: str, count: int, read: Callable[[], object]) -> None:
    """Print how much time of the processor a reader takes."""
    start = time.process_time()
    read()
    seconds = time.process_time() - start
    print(f"{what:34} {count:>12,} {seconds:8.2f} s {count / seconds:>14,.0f} a second", flush=True)


def main() -> None:
    """Measure every reader once."""
    for kind in ("classes", "numbers", "words"):
        rows = table(kind)
        measured(
            f"labels: {kind}", ROWS, lambda rows=rows: hub.from_dataset(Source("made_up"), "train", rows)
        )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASTRANSFER_CACHE"] = folder
        root = Path(folder)
        write_folder(root / "folder")
        measured("files in class folders", FOLDERS * FILES, lambda: image_folder.read(root / "folder", None))
        paths = write_shards(root)
        measured("samples of shards", FOLDERS * FILES, lambda: shards.index(paths))


if __name__ == "__main__":
    main()
