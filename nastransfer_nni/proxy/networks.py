"""Networks that score images: a ResNet-20 trained on the source, or a pretrained timm model."""

from __future__ import annotations

import difflib
import itertools
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nastransfer_nni.base.environment import available_cores
from nastransfer_nni.base.files import replacing
from nastransfer_nni.base.paths import located
from nastransfer_nni.data.augmentation import Augmentation
from nastransfer_nni.data.batch_loader import BatchLoader
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.memory import MAX_PIXELS, InMemoryImages
from nastransfer_nni.proxy.scorer_cost import TRAINING_BATCH, Clock
from search_spaces.errors import UserError

_EVALUATION_BATCH = 512
_LOADING_ERRORS = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
"""What timm, the Hub and torch raise for weights that are missing, damaged or of another model."""


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
        """Features before the classifier, [B, 64], of images [B, 3, H, W]."""
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
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Watcher(Protocol):
    """Sees which images a network classifies rightly while it trains; checkpoints store its state."""

    def see(self, rows: Tensor, is_right: Tensor) -> None: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


def train_network(
    images: ImageSet,
    epochs: int,
    folder: Path,
    *,
    seed: int = 0,
    forgetting: Watcher | None = None,
    clock: Clock | None = None,
) -> tuple[ResNet20, InMemoryImages]:
    """Train a ResNet-20 on a set, resized to at most 64 px.

    The schedule is SGD with Nesterov momentum 0.9, weight decay 1e-4 and a learning rate that falls from 0.1
    to 0 by cosine. The random seed is not the proxy's, so that scores do not depend on that.

    Args:
        images: the set; all its images are kept in memory.
        epochs: number of epochs.
        folder: folder of the state, stored after every epoch; an interrupted training resumes from it.
        seed: random seed of weights and batches.
        forgetting: what sees every batch; None: nothing does.
        clock: measures the epochs; None: nothing does.

    Returns:
        The network, and the images in memory.

    Raises:
        UserError: the set does not fit in memory.
    """
    size = images.pixels if images.pixels and max(images.pixels) <= MAX_PIXELS else (MAX_PIXELS, MAX_PIXELS)
    content = _in_memory(images, size)
    torch.manual_seed(seed)
    network = ResNet20(len(images.classes)).to(device()).to(memory_format=torch.channels_last)
    augmentation = Augmentation.standard(images.source, pixels=size[0])
    loader = BatchLoader(
        content, min(TRAINING_BATCH, len(content)), augmentation, seed=seed, drop_last=True, device=device()
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    state: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    if forgetting is not None:
        state["forgetting"] = forgetting
    checkpoint, first_epoch = folder / "network.pt", 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=device(), weights_only=True)
        first_epoch = saved.pop("epoch")
        for name, part in state.items():
            part.load_state_dict(saved[name])
    for epoch in range(first_epoch, epochs):
        loader.set_epoch(epoch)
        network.train()
        for number, (batch, labels) in enumerate(loader):
            optimizer.zero_grad()
            logits = network(batch.to(memory_format=torch.channels_last))
            F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if forgetting is not None:
                forgetting.see(torch.tensor(loader.rows(number)), (logits.argmax(1) == labels).cpu())
        folder.mkdir(exist_ok=True)
        with replacing(checkpoint) as scratch:
            torch.save(
                {name: part.state_dict() for name, part in state.items()} | {"epoch": epoch + 1}, scratch
            )
        if clock is not None:
            clock.lap()
    return network, content


def _in_memory(images: ImageSet, size: tuple[int, int]) -> InMemoryImages:
    """The images in memory, at most `size` (height, width) large.

    Raises:
        UserError: they do not fit.
    """
    if not InMemoryImages.fits(images, size):
        raise UserError(
            f"{images.name} does not fit in memory, where scorer=network needs it: use scorer=timm:MODEL"
        )
    return InMemoryImages.of(images if images.pixels == size else images.resized(size[0]))


def network_outputs(
    network: ResNet20, content: InMemoryImages, images: ImageSet, begin: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Apply a trained network.

    Args:
        network: the network.
        content: the images in memory.
        images: the same images, which name their source.
        begin: row of the first image to apply it to.

    Yields:
        Features [B, 64] and logits [B, C] of the next images, on the CPU.
    """
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
    """Make a pretrained timm model.

    Args:
        name: name of the model; `resnet18@weights.pth` takes the weights from a file.

    Returns:
        The model in evaluation mode, on `device()`.

    Raises:
        UserError: there is no such model, or its weights cannot be loaded.
    """
    import timm  # slow to import

    name, _, file = name.partition("@")
    if not timm.is_model(name):
        similar = difflib.get_close_matches(name, timm.list_models())
        known = f"it has {', '.join(similar)}" if similar else "timm.list_models() lists them"
        raise UserError(f"timm has no model {name!r}; {known}")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # logs every retry of a download
    try:
        overlay = _weights(located(file)) if file else None
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except _LOADING_ERRORS as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"cannot load the weights of timm's {name} ({problem}); timm:{name}@FILE takes them from a file"
        ) from None
    return model.eval().to(device())


def _weights(file: Path) -> dict[str, Any]:
    """What tells timm the weights; those in torch's format are read by us, so that no file runs code."""
    from timm.models import load_state_dict  # slow to import

    if file.suffix == ".npz":  # which NumPy reads, for the models that Google published so
        return {"file": str(file)}
    return {"state_dict": load_state_dict(str(file), weights_only=True)}


def timm_outputs(model: Any, images: ImageSet, begin: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Apply a timm model with its own evaluation transform.

    Args:
        model: the model.
        images: the images.
        begin: row of the first image to apply it to.

    Yields:
        Features [B, D] and logits [B, C] of the next images, on the CPU; logits are [B, 0] if the model's
        classes are not those of the set.
    """
    from timm.data import create_transform, resolve_data_config  # slow to import

    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    rest = images.select(range(begin, len(images)))
    loader: Any = torch.utils.data.DataLoader(
        _Transformed(rest, transform), batch_size=64, num_workers=min(8, available_cores() - 1)
    )
    has_classes = images.classes == _imagenet_classes(model.num_classes)
    with torch.inference_mode():
        for batch, _ in loader:
            features = model.forward_head(model.forward_features(batch.to(device())), pre_logits=True)
            logits = model.get_classifier()(features) if has_classes else features[:, :0]
            yield features.cpu(), logits.cpu()


def _imagenet_classes(count: int) -> tuple[str, ...]:
    """The synsets of a pretrained ImageNet model with this number of classes; empty for other numbers."""
    from timm.data import ImageNetInfo  # slow to import

    subset = {1000: "imagenet-1k", 21841: "imagenet-22k"}.get(count)
    return tuple(ImageNetInfo(subset).label_names()) if subset else ()


class _Transformed(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The images after a transform, for the loader's workers."""

    def __init__(self, images: ImageSet, transform: Callable[[Any], Tensor]) -> None:
        self._images, self._transform = images, transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image, label = self._images[row]
        return self._transform(image), label


def probe(features: Tensor, labels: Tensor, num_classes: int, piece_size: int) -> Iterator[Tensor]:
    """Fit a linear classifier to features, and apply it to the same images.

    Adam with batches of 256 needs no tuning and fits any number of images. The logits only serve to rank
    them, and after 20 epochs twice as many change the ranks of the losses no more than another seed does:
    Spearman's correlation is 0.95 and 0.82 on the pixels of digits, 0.99 and 0.99 on 100,000 x 384 numbers.

    Args:
        features: features, float32 [N, D]; they are standardised first.
        labels: labels, int64 [N].
        num_classes: number of classes C.
        piece_size: rows per piece.

    Yields:
        Logits [piece_size, C] of the images in order; the last piece may be shorter.
    """
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
