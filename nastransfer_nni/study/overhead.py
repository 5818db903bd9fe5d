"""What a study's jobs take besides training and scoring: start-up, decoding, checkpoints, drawings."""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nastransfer_nni.base.reading import read_object, read_records
from nastransfer_nni.data import loading
from nastransfer_nni.data.memory import InMemoryImages
from nastransfer_nni.data.sources import SOURCES
from nastransfer_nni.study.design import Study
from nastransfer_nni.study.engines.local import fork_server, start
from nastransfer_nni.study.jobs import Job
from nastransfer_nni.study.status import job_status
from search_spaces.errors import UserError
from search_spaces.geometry import SMALL_PIXELS

EPOCHS = 3
"""Epochs of the measured jobs."""
_NETWORK = {"width": 1, "layers": 3, "device": "cpu", "epochs": EPOCHS}
_STUDY = {
    "name": "overhead",
    "strategies": ["random_ws:candidates=1,batches=1,finalists=1"],
    "sources": ["digits"],
    "proxies": ["classes:2,per_class=8"],
    "search_seeds": [0],
    "random_cells": 2,
    "targets": ["digits"],
    "search": {**_NETWORK, "batch_size": 8},
    "transfer": {**_NETWORK, "batch_size": 512},
}
"""Searches and transfers that train next to nothing."""
PHOTO = (375, 500)
"""Height and width of the photograph whose decoding is measured, the mean of ImageNet's."""
REPEATS = 5
"""Times that it is decoded."""


@dataclass(frozen=True)
class Overheads:
    """Seconds that jobs take besides training and scoring.

    Attributes:
        search: start and end of a search.
        transfer: start and end of a transfer.
        record: records and drawings of an epoch or candidate of a search.
        epoch: records and checkpoint of an epoch of a transfer.
        image: decoding an image of up to 64 px, which then stays in memory.
        photo: decoding a larger image, every time that it is needed.
    """

    search: float
    transfer: float
    record: float
    epoch: float
    image: float
    photo: float

    def decoding(self, images: int, passes: int, img_size: int) -> float:
        """Seconds of decoding.

        Args:
            images: number of images.
            passes: number of images that a job trains on and scores.
            img_size: their height and width in px.
        """
        return images * self.image if img_size <= SMALL_PIXELS else passes * self.photo


ASSUMED = Overheads(search=1.0, transfer=2.0, record=0.3, epoch=0.1, image=1e-4, photo=0.0)
"""What a server takes, for a speed that is assumed; it includes the decoding of photographs."""


@cache
def measured() -> Overheads:
    """Overheads on this machine, measured by running the smallest jobs as a study runs them."""
    server = fork_server()
    searched, _, first, _, random, transfer = Study.create(_STUDY).jobs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _seconds(server, first, root)  # it waits for the start of the server
        search = _seconds(server, random, root)
        recorded = _seconds(server, searched, root) - _summary(searched, root)["search_seconds"]
        trained = _seconds(server, transfer, root)
        loop = _summary(transfer, root)["train_seconds"]
        lines = read_records(transfer.folder(root) / "metrics.jsonl")
    return Overheads(
        search=search,
        transfer=trained - loop,
        record=max(0.0, recorded - search) / (EPOCHS + 2),  # after each epoch, screening and finalists
        epoch=max(0.0, loop - sum(line.get("seconds", 0.0) for line in lines)) / EPOCHS,
        image=_image_seconds(),
        photo=_photo_seconds(),
    )


def _seconds(server: Any, job: Job, root: Path) -> float:
    """Duration of a job in a process of its own."""
    start_time = time.perf_counter()
    worker = start(server, job, root, {"OMP_NUM_THREADS": "1"})
    worker.process.join()
    worker.pipe.close()
    seconds = time.perf_counter() - start_time
    status = job_status(job, root)
    if not status.is_completed:
        raise UserError(
            f"a job of the smallest size {status.status}, so no time can be measured: {status.why}"
        )
    return seconds


def _summary(job: Job, root: Path) -> dict[str, Any]:
    return read_object(job.folder(root) / "summary.json") or {}


def _image_seconds() -> float:
    images = loading.load(SOURCES["digits"])
    start_time = time.perf_counter()
    InMemoryImages.of(images, (8, 8), "skip")
    return (time.perf_counter() - start_time) / len(images)


def _photo_seconds() -> float:
    noise = np.random.default_rng(0).integers(0, 256, (*(side // 8 for side in PHOTO), 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize(PHOTO[::-1]).save(file, "JPEG")
    start_time = time.perf_counter()
    for _ in range(REPEATS):
        Image.open(file).convert("RGB").resize((224, 224))
    return (time.perf_counter() - start_time) / REPEATS
