"""Augmentation of whole batches on the training device, with random numbers of its own for every image.

The random numbers are drawn on the CPU and then moved, so that a batch is the same on every device.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Generator, Tensor
from torch.nn import functional

from nastransfer_nni.data.sources import IMAGENET_MEAN, IMAGENET_STD, Source

Triple = tuple[float, float, float]
_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601-2, as PIL's and torchvision's grey
_CONTRAST, _SATURATION, _HUE = 1, 2, 3  # indices of the strengths; brightness has 0
_ORDERS = torch.tensor(list(itertools.permutations(range(4))))


@dataclass(frozen=True)
class Augmentation:
    """Augmentation and normalization of a batch of uint8 images, in the order of the attributes.

    Attributes:
        padding: width in pixels of the black margin from which a crop of the image's own size is drawn.
        flip: probability that an image is mirrored; True: 1/2.
        jitter: strengths of brightness, contrast, saturation and hue, as in torchvision's ColorJitter.
        mean: mean that is subtracted from each channel, for pixels scaled to 0..1.
        std: standard deviation that each channel is divided by.
        cutout: side in pixels of the square that is set to the mean (DeVries and Taylor, 2017); its centre is
            drawn from the whole image, so that the square may extend over the edge. 0: no cutout.
    """

    padding: int = 0
    flip: float = 0.0
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    cutout: int = 0

    @classmethod
    def none(cls, source: Source) -> Self:
        """Normalization only, for evaluation."""
        return cls(mean=source.mean, std=source.std)

    @classmethod
    def standard(cls, source: Source, cutout: int = 0, pixels: int = 32) -> Self:
        """Random crops from a margin of an eighth of the image, and mirror images where classes allow them.

        Args:
            source: the image set, for its mean, its standard deviation and whether mirror images are allowed.
            cutout: side of the cutout square in pixels; 0: no cutout.
            pixels: height and width of the images.
        """
        flip = 0.5 if source.mirrored else 0.0
        return replace(cls.none(source), padding=pixels // 8, flip=flip, cutout=cutout)

    def __call__(self, images: Tensor, generator: Generator, rank: int = 0, world_size: int = 1) -> Tensor:
        """Augment and normalize.

        Args:
            images: uint8 [B, 3, H, W], on any device; every `world_size`-th image of the global batch.
            generator: random generator on the CPU. Numbers are drawn for the whole global batch, so that an
                image is augmented in the same way on any number of processes.
            rank: position of the first of these images in the global batch.
            world_size: number of processes.

        Returns:
            float32 [B, 3, H, W] on the same device.
        """
        draws = _Draws(generator, len(images), rank, world_size)
        if self.padding or self.flip:
            images = _crop_and_flip(images, self.padding, self.flip, draws)
        if any(self.jitter):
            images = _jitter(images, self.jitter, draws)
        scale, shift = _scale_and_shift(self.mean, self.std, images.device)
        batch = (images * scale).sub_(shift)
        return _cutout(batch, self.cutout, draws) if self.cutout else batch


@functools.cache
def _scale_and_shift(mean: Triple, std: Triple, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factor for pixels in 0..255 and what is then subtracted, float32 [3, 1, 1] each."""
    spread = torch.tensor(std, device=device).view(3, 1, 1)
    return 1 / (255 * spread), torch.tensor(mean, device=device).view(3, 1, 1) / spread


class _Draws:
    """Random numbers, one per image, for this process's share of the global batch."""

    def __init__(self, generator: Generator, count: int, rank: int, world_size: int) -> None:
        self._generator, self._total = generator, count * world_size
        self._share = slice(rank, None, world_size)

    def below(self, bound: int) -> Tensor:
        """Integers in 0 .. bound - 1, int64 [B]."""
        return torch.randint(bound, (self._total,), generator=self._generator)[self._share]

    def uniform(self) -> Tensor:
        """Numbers in [0, 1), float32 [B]."""
        return torch.rand(self._total, generator=self._generator)[self._share]


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """Numbers from the CPU on a device; CUDA copies them first, so that the CPU need not wait for the GPU."""
    return values.to(device, non_blocking=device.type == "cuda")


def _crop_and_flip(images: Tensor, padding: int, flip: float, draws: _Draws) -> Tensor:
    count, _, height, width = images.shape
    top = _moved(draws.below(2 * padding + 1), images.device)
    left = _moved(draws.below(2 * padding + 1), images.device)
    mirrored = draws.uniform() < (0.5 if flip is True else flip)
    if padding:
        windows = functional.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(count, device=images.device), :, top, left]
    chosen = _moved(mirrored.nonzero().flatten(), images.device)
    images = images if padding else images.clone()
    images[chosen] = images[chosen].flip(3)
    return images


def _jitter(images: Tensor, strength: tuple[float, ...], draws: _Draws) -> Tensor:
    """Jitter brightness, contrast, saturation and hue of each image, in an order drawn for each image.

    The first three are blends: of the image with black, with the mean of its greys, or with its greys. So the
    n-th blend of all images is computed at once, whichever it is for each of them. Images are sorted by the
    number of blends before their hue is turned, so that those with another blend to do are contiguous.
    """
    order = _ORDERS[draws.below(len(_ORDERS))]
    uniform = torch.stack([draws.uniform() for _ in strength], dim=1)
    before, by_before = (order == _HUE).int().argmax(1).sort(descending=True, stable=True)
    order, uniform = order[by_before], uniform[by_before]
    amount = torch.tensor(strength)
    low = (1 - amount).clamp(min=0)
    blends = order[order != _HUE].view(-1, 3)
    kept = torch.addcmul(low, uniform, 1 + amount - low).gather(1, blends)
    of_grey, of_mean = (1 - kept) * (blends == _SATURATION), (1 - kept) * (blends == _CONTRAST)
    shares = _moved(torch.stack((kept, of_grey, of_mean))[..., None, None], images.device)
    turn = (2 * uniform[:, _HUE] - 1) * amount[_HUE]

    images = images.index_select(0, _moved(by_before, images.device)).float()
    ends = (before > torch.arange(3)[:, None]).sum(1).tolist()
    for number, end in enumerate(ends):
        _blend(images[:end], shares[:, :end, number])
    if amount[_HUE]:
        images = _hue(images, _moved(turn, images.device))
    for number, start in enumerate(ends):
        _blend(images[start:], shares[:, start:, number])
    return images.index_select(0, _moved(by_before.argsort(), images.device))


def _blend(images: Tensor, shares: Tensor) -> None:
    """Blend each image, in place, with its greys, their mean and black.

    Args:
        images: float [B, 3, H, W].
        shares: weights of the image, its greys and their mean, [3, B, 1, 1]; black has the rest of 1.
    """
    kept, of_grey, of_mean = shares
    grey = images[:, 0] * _LUMA[0]
    grey.add_(images[:, 1], alpha=_LUMA[1]).add_(images[:, 2], alpha=_LUMA[2])
    mean = grey.mean((1, 2), keepdim=True)
    other = grey.mul_(of_grey).add_(mean.mul_(of_mean))
    images.mul_(kept[:, None]).add_(other[:, None]).clamp_(0, 255)


def _hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of images float [B, 3, H, W] by fractions [B] of the colour circle, through HSV."""
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    # Comparing in place gives 0 and 1 as numbers, and interpolating by them selects: several times faster
    # than a mask and torch.where.
    sixths = (red - green).add_(spread, alpha=4)
    sixths.lerp_((blue - red).add_(spread, alpha=2), green.clone().eq_(value))
    sixths.lerp_(green - blue, red.clone().eq_(value))
    sixths.div_(spread.clamp(min=1e-9)).add_(6 * turn.view(-1, 1, 1))
    sixths.sub_((sixths / 6).floor_(), alpha=6)
    # Red is lowest within a sixth of the circle around cyan (3 sixths). Green and blue are highest within a
    # sixth around their own hues. In between, each channel rises and falls linearly.
    hues = torch.tensor([3.0, 2.0, 4.0], device=images.device).view(3, 1, 1)
    turned = (sixths[:, None] - hues).abs_().clamp_(1, 2)
    torch.addcmul(value - 2 * spread, spread, turned[:, 0], out=turned[:, 0])
    torch.addcmul((value + spread)[:, None], spread[:, None], turned[:, 1:], value=-1, out=turned[:, 1:])
    return turned


def _cutout(batch: Tensor, side: int, draws: _Draws) -> Tensor:
    height, width = batch.shape[-2:]
    centre_y = _moved(draws.below(height)[:, None], batch.device)
    centre_x = _moved(draws.below(width)[:, None], batch.device)
    rows = torch.arange(height, device=batch.device)
    columns = torch.arange(width, device=batch.device)
    outside_rows = (rows < centre_y - side // 2) | (rows >= centre_y - side // 2 + side)
    outside_columns = (columns < centre_x - side // 2) | (columns >= centre_x - side // 2 + side)
    kept = torch.maximum(outside_rows[:, None, :, None].float(), outside_columns[:, None, None, :].float())
    return batch.mul_(kept)  # several times faster than filling by a mask
