"""The networks that score images: a ResNet-20 trained here, or any timm model."""

from __future__ import annotations

import difflib
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nastransfer_nni.base.files import replacing
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import MAX_PIXELS, InMemoryImages
from search_spaces.errors import UserError

_BATCH = 128
_EVALUATION_BATCH = 512


class ResNet20(nn.Module):
    """The CIFAR network of He et al. (2016), section 4.2, with n = 3: 0.27M parameters at 10 classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (16, *(width for width in (16, 32, 64) for _ in range(3)))
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in itertools.pairwise(widths)))
        self.head = nn.Linear(64, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """Features before the classifier, [B, 64]."""
        return self.blocks(self.stem(images)).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C] of images [B, 3, H, W]."""
        return self.head(self.forward_features(images))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Two 3x3 convolutions; the shortcut subsamples and pads with zero channels (option A of the paper)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride, self.extra = outputs // inputs, outputs - inputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, state: Tensor) -> Tensor:
        shortcut = F.pad(state[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(self.body(state) + shortcut)


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_network(images: ImageSet, epochs: int, folder: Path) -> tuple[ResNet20, InMemoryImages]:
    """Train a ResNet-20 on a set, at 64 pixels at most: SGD 0.1 to 0 by cosine, weight decay 1e-4.

    An epoch's state is kept in `folder`, and a training that was interrupted goes on from it.
    """
    size = images.pixels if images.pixels and max(images.pixels) <= MAX_PIXELS else (MAX_PIXELS, MAX_PIXELS)
    if not InMemoryImages.fits(images, size):
        raise UserError(
            f"{images.name} does not fit the memory for a network trained here: use scorer=timm:MODEL"
        )
    content = InMemoryImages.of(images if images.pixels == size else images.resized(size[0]))
    torch.manual_seed(0)
    network = ResNet20(len(images.classes)).to(device()).to(memory_format=torch.channels_last)
    augmentation = Augmentation.standard(images.source, pixels=size[0])
    loader = BatchLoader(content, min(_BATCH, len(content)), augmentation, drop_last=True, device=device())
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    state: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    kept, begin = folder / "network.pt", 0
    if kept.is_file():
        saved = torch.load(kept, map_location=device(), weights_only=True)
        begin = saved.pop("epoch")
        for name, part in state.items():
            part.load_state_dict(saved[name])
    for epoch in range(begin, epochs):
        loader.set_epoch(epoch)
        network.train()
        for batch, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(batch.to(memory_format=torch.channels_last)), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        folder.mkdir(exist_ok=True)
        with replacing(kept) as scratch:
            torch.save(
                {name: part.state_dict() for name, part in state.items()} | {"epoch": epoch + 1}, scratch
            )
    return network, content


def network_outputs(
    network: ResNet20, content: InMemoryImages, images: ImageSet, begin: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """(features, logits) of the images from row `begin` on, batch by batch."""
    rest = content.select(torch.arange(begin, len(content)))
    loader = BatchLoader(
        rest, _EVALUATION_BATCH, Augmentation.none(images.source), shuffle=False, device=device()
    )
    network.eval()
    with torch.inference_mode():
        for batch, _ in loader:
            features = network.forward_features(batch.to(memory_format=torch.channels_last))
            yield features.cpu(), network.head(features).cpu()


def timm_model(name: str) -> Any:
    """A pretrained timm model by name; `resnet18@weights.pth` takes its weights from a file.

    Raises:
        UserError: no such model, or no weights for it.
    """
    import timm

    name, _, file = name.partition("@")
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models())) or "others: timm.list_models()"
        raise UserError(f"timm has no model {name!r}; it has {near}")
    overlay = {"file": file} if file else None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of every retry
    try:
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError, ValueError) as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"cannot get the weights of timm's {name} ({problem}); timm:{name}@FILE takes them from a file"
        ) from None
    return model.eval().to(device())


def timm_outputs(model: Any, images: ImageSet, begin: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(features, logits) of the images from row `begin` on, in the model's own evaluation transform.

    Logits are [B, 0] where the model's classes are not those of the set.
    """
    import os

    from timm.data import create_transform, resolve_data_config

    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    rest = images.select(range(begin, len(images)))
    loader: Any = torch.utils.data.DataLoader(
        _Transformed(rest, transform), batch_size=64, num_workers=min(8, (os.cpu_count() or 1) - 1)
    )
    knows = images.classes == _imagenet_classes(model.num_classes)
    with torch.inference_mode():
        for batch, _ in loader:
            features = model.forward_head(model.forward_features(batch.to(device())), pre_logits=True)
            logits = model.get_classifier()(features) if knows else features[:, :0]
            yield features.cpu(), logits.cpu()


def _imagenet_classes(count: int) -> tuple[str, ...]:
    """The synsets that a pretrained model of so many classes tells apart; none for other counts."""
    from timm.data import ImageNetInfo

    subset = {1000: "imagenet-1k", 21841: "imagenet-22k"}.get(count)
    return tuple(ImageNetInfo(subset).label_names()) if subset else ()


class _Transformed(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A set as the loader's workers see it."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Tensor]) -> None:
        self._images, self._transform = images, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image, label = self._images[row]
        return self._transform(image), label


def probe(features: Tensor, labels: Tensor, num_classes: int, piece_size: int) -> Iterator[Tensor]:
    """Logits of a linear classifier fitted to features [N, D], in pieces of so many rows."""
    torch.manual_seed(0)
    features = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)
    classifier = nn.Linear(features.shape[1], num_classes)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3, weight_decay=1e-4)
    for epoch in range(20):
        rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        for chosen in torch.split(rows, 256):
            optimizer.zero_grad()
            F.cross_entropy(classifier(features[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.inference_mode():
        for piece in torch.split(features, piece_size):
            yield classifier(piece)
