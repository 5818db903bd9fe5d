"""The steps that `benchmarks.gpu` times beside those of a search with our DARTS and NNI's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.functional import to_pil_image

from benchmarks.final_network import PIXELS, network
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.memory import InMemoryImages

CLASSES, IMAGES = 10, 50_000

OURS, TIMMS = "ours, channels last", "ours, channels last, fed by timm"
FED = (OURS, f"{OURS}, bf16", TIMMS)
"""The same network and step; the batches are those of a transfer, or of the loader of timm's train.py."""

Batches = Iterable[tuple[Tensor, Tensor]]


def update(variant: str, device: str, width: int, layers: int) -> Callable[[Tensor, Tensor], None]:
    """A step of SGD of a final network, on a batch."""
    model, order = network(variant.split(",")[0], width, layers).to(device).train(), torch.contiguous_format
    if "channels last" in variant:
        order = torch.channels_last
        model = model.to(memory_format=order)
    optimizer = torch.optim.SGD(model.parameters(), 0.025, 0.9)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(torch.device(device).type, torch.bfloat16, "bf16" in variant):
            logits = model(images.contiguous(memory_format=order))
            loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()

    return step


def training_step(variant: str, device: str, width: int, layers: int, batch: int) -> Callable[[], object]:
    """A step of a final network on a batch that is there; arguments as in `fed_step`."""
    step = update(variant, device, width, layers)
    images = torch.randn(batch, 3, PIXELS, PIXELS, device=device)
    labels = torch.randint(CLASSES, (batch,), device=device)
    return lambda: step(images, labels)


def fed_step(
    variant: str, device: str, width: int, layers: int, batch: int, images: int = IMAGES
) -> Callable[[], object]:
    """A step of a final network with the loading and augmentation of its batch.

    Args:
        variant: one of `FED`.
        device: device of the step.
        width: channels of the first cell's nodes.
        layers: number of cells.
        batch: images per batch.
        images: size of the image set, which is noise.
    """
    step = update(variant, device, width, layers)
    content = torch.randint(256, (images, 3, PIXELS, PIXELS), dtype=torch.uint8)
    labels = torch.arange(images) % CLASSES
    made = timms_batches if variant == TIMMS else our_batches
    batches = endless(made(content, labels, device, batch))
    return lambda: step(*next(batches))


def endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from batches


def our_batches(images: Tensor, labels: Tensor, device: str, batch: int) -> Batches:
    """Batches as a transfer augments them, crops and mirror images, on the device."""
    content = InMemoryImages(images, labels, tuple(map(str, range(CLASSES))))
    return BatchLoader(content, batch, Augmentation(padding=4, flip=0.5), drop_last=True, device=device)


def timms_batches(images: Tensor, labels: Tensor, device: str, batch: int) -> Batches:
    """Batches of the loader of timm's train.py, with crops and mirror images, from decoded images.

    train.py itself is not part of timm's package, and cannot be called for one step.
    """
    from timm.data import create_loader

    on_gpu = device.startswith("cuda")
    loader: Batches = create_loader(
        OneByOne(images, labels),
        input_size=(3, PIXELS, PIXELS),
        batch_size=batch,
        is_training=True,
        color_jitter=None,
        num_workers=min(8, os.cpu_count() or 1) if on_gpu else 0,
        persistent_workers=on_gpu,
        use_prefetcher=on_gpu,
        device=torch.device(device),
    )
    return loader


class OneByOne(Dataset[tuple[Any, int]]):
    """Images as a timm loader takes them: it sets the transform."""

    transform: Callable[[Any], Any]

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.transform(to_pil_image(self._images[row])), int(self._labels[row])
